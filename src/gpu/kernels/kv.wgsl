// The KV cache of one layer, all sequences: f16, or f32 beside unquantised weights. Tiles of 32 positions are outermost and
// belong to sequences by their pages; within a tile a lane that is a position, and a lane that is 4 dimensions of a value,
// read whole lines. A cell is a KV head of a tile.
struct Eight { a : vec4<f32>, b : vec4<f32> } // 8 dimensions of a key

fn cell_of(column : u32, tile : u32, head : u32) -> u32 {
  return state.pages[slot_of(column) * $PAGES + tile] * KV_HEADS + head;
}

#if KV_F32
@group(0) @binding(3) var<storage, $KV_ACCESS> kc : array<vec4<f32>>; // [tile][kv_head][head_dim/8][pos%32][2]
@group(0) @binding(4) var<storage, $KV_ACCESS> vc : array<vec4<f32>>; // [tile][kv_head][pos%32][head_dim/4]

fn key(cell : u32, d : u32, p : u32) -> Eight {
  let at = ((cell * (HD / 8u) + d) * 32u + p) * 2u;
  return Eight(kc[at], kc[at + 1u]);
}
fn value(cell : u32, p : u32, d : u32) -> vec4<f32> { return vc[(cell * 32u + p) * (HD / 4u) + d]; }
fn rounded(v : vec4<f32>) -> vec4<f32> { return v; } // as the cache will hold it
#if KV_ACCESS == read_write
fn put_key(cell : u32, d : u32, p : u32, k : Eight) {
  let at = ((cell * (HD / 8u) + d) * 32u + p) * 2u;
  kc[at] = k.a; kc[at + 1u] = k.b;
}
fn put_value(cell : u32, p : u32, d : u32, v : vec4<f32>) { vc[(cell * 32u + p) * (HD / 4u) + d] = v; }
#endif
#else
@group(0) @binding(3) var<storage, $KV_ACCESS> kc : array<vec4<u32>>; // [tile][kv_head][head_dim/8][pos%32] 8 x f16
@group(0) @binding(4) var<storage, $KV_ACCESS> vc : array<vec2<u32>>; // [tile][kv_head][pos%32][head_dim/4] 4 x f16

fn four(w : vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
fn packed(v : vec4<f32>) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }

fn key(cell : u32, d : u32, p : u32) -> Eight {
  let w = kc[(cell * (HD / 8u) + d) * 32u + p];
  return Eight(four(w.xy), four(w.zw));
}
fn value(cell : u32, p : u32, d : u32) -> vec4<f32> { return four(vc[(cell * 32u + p) * (HD / 4u) + d]); }
fn rounded(v : vec4<f32>) -> vec4<f32> { return four(packed(v)); } // as the cache will hold it
#if KV_ACCESS == read_write
fn put_key(cell : u32, d : u32, p : u32, k : Eight) {
  kc[(cell * (HD / 8u) + d) * 32u + p] = vec4<u32>(packed(k.a), packed(k.b));
}
fn put_value(cell : u32, p : u32, d : u32, v : vec4<f32>) { vc[(cell * 32u + p) * (HD / 4u) + d] = packed(v); }
#endif
#endif
