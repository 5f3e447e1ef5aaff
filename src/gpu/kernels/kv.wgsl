// The KV cache of one layer, all sequences: f16, f32 beside unquantised weights, or 8 bits if that is wished. Tiles of 32 positions are outermost and
// belong to sequences by their pages; within a tile a lane that is a position, and a lane that is 4 dimensions of a value,
// read whole lines. A cell is a KV head of a tile.
struct Eight { a : vec4<f32>, b : vec4<f32> } // 8 dimensions of a key

fn cell_of(column : u32, tile : u32, head : u32) -> u32 {
  return state.pages[slot_of(column) * $PAGES + tile] * KV_HEADS + head;
}

#if KV_Q8
// A number is a level of -127..=127 times the scale of its 32 neighbours, which follow the levels of a cell.
const KEY_CELL : u32 = 32u * (HD / 8u + HD / 64u);
const VALUE_CELL : u32 = 32u * (HD / 4u + HD / 32u);
@group(0) @binding(3) var<storage, $KV_ACCESS> kc : array<vec2<u32>>; // [tile][kv_head] [head_dim/8][pos%32] 8 x i8, [head_dim/64][pos%32] 2 scales
@group(0) @binding(4) var<storage, $KV_ACCESS> vc : array<u32>;       // [tile][kv_head] [pos%32][head_dim/4] 4 x i8, [pos%32][head_dim/32] scales

fn four(w : u32, scale : f32) -> vec4<f32> { return vec4<f32>(unpack4xI8(w)) * scale; }
fn levels(v : vec4<f32>, scale : f32) -> u32 {
  return pack4xI8(vec4<i32>(round(v * select(0.0, 1.0 / scale, scale > 0.0))));
}

fn key(cell : u32, d : u32, p : u32) -> Eight {
  let w = kc[cell * KEY_CELL + d * 32u + p];
  let scales = bitcast<vec2<f32>>(kc[cell * KEY_CELL + HD * 4u + d / 8u * 32u + p]);
  let scale = select(scales.x, scales.y, (d & 4u) != 0u);
  return Eight(four(w.x, scale), four(w.y, scale));
}
fn value(cell : u32, p : u32, d : u32) -> vec4<f32> {
  let at = cell * VALUE_CELL;
  return four(vc[at + p * (HD / 4u) + d], bitcast<f32>(vc[at + HD * 8u + p * (HD / 32u) + d / 8u]));
}
fn rounded(v : vec4<f32>, scale : f32) -> vec4<f32> { return four(levels(v, scale), scale); } // as the cache will hold it
#if KV_ACCESS == read_write
fn put_key(cell : u32, d : u32, p : u32, k : Eight, scale : f32) {
  kc[cell * KEY_CELL + d * 32u + p] = vec2<u32>(levels(k.a, scale), levels(k.b, scale));
}
fn put_key_scales(cell : u32, pair : u32, p : u32, scales : vec2<f32>) {
  kc[cell * KEY_CELL + HD * 4u + pair * 32u + p] = bitcast<vec2<u32>>(scales);
}
fn put_value(cell : u32, p : u32, d : u32, v : vec4<f32>, scale : f32) {
  vc[cell * VALUE_CELL + p * (HD / 4u) + d] = levels(v, scale);
}
fn put_value_scale(cell : u32, p : u32, b : u32, scale : f32) {
  vc[cell * VALUE_CELL + HD * 8u + p * (HD / 32u) + b] = bitcast<u32>(scale);
}
#endif
#else
#if KV_F32
@group(0) @binding(3) var<storage, $KV_ACCESS> kc : array<vec4<f32>>; // [tile][kv_head][head_dim/8][pos%32][2]
@group(0) @binding(4) var<storage, $KV_ACCESS> vc : array<vec4<f32>>; // [tile][kv_head][pos%32][head_dim/4]

fn key(cell : u32, d : u32, p : u32) -> Eight {
  let at = ((cell * (HD / 8u) + d) * 32u + p) * 2u;
  return Eight(kc[at], kc[at + 1u]);
}
fn value(cell : u32, p : u32, d : u32) -> vec4<f32> { return vc[(cell * 32u + p) * (HD / 4u) + d]; }
fn rounded(v : vec4<f32>, scale : f32) -> vec4<f32> { return v; } // as the cache will hold it
#if KV_ACCESS == read_write
fn put_key(cell : u32, d : u32, p : u32, k : Eight, scale : f32) {
  let at = ((cell * (HD / 8u) + d) * 32u + p) * 2u;
  kc[at] = k.a; kc[at + 1u] = k.b;
}
fn put_value(cell : u32, p : u32, d : u32, v : vec4<f32>, scale : f32) { vc[(cell * 32u + p) * (HD / 4u) + d] = v; }
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
fn rounded(v : vec4<f32>, scale : f32) -> vec4<f32> { return four(packed(v)); } // as the cache will hold it
#if KV_ACCESS == read_write
fn put_key(cell : u32, d : u32, p : u32, k : Eight, scale : f32) {
  kc[(cell * (HD / 8u) + d) * 32u + p] = vec4<u32>(packed(k.a), packed(k.b));
}
fn put_value(cell : u32, p : u32, d : u32, v : vec4<f32>, scale : f32) { vc[(cell * 32u + p) * (HD / 4u) + d] = packed(v); }
#endif
#endif
#endif
