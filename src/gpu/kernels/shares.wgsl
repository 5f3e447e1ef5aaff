// The merge of attention's NSPLIT partial results of a head: their sum, each with its share of the softmax.
const HD4 : u32 = $HEAD_DIM / 4u;
const HEADS : u32 = $HEADS;
const NSPLIT : u32 = $NSPLIT;
@group(0) @binding(4) var<storage, read> partials : array<vec4<f32>>; // [column][split][HEADS * HD4], see order.wgsl; not normalised
@group(0) @binding(5) var<storage, read> softmax : array<vec2<f32>>;  // [column][head][split] (maximum, sum)
var<workgroup> shares : array<f32, HEADS * NSPLIT>;

fn share_out(column : u32, lid : u32) {
  for (var i = lid; i < HEADS * NSPLIT; i += $WG) {
    let at = (column * HEADS + i / NSPLIT) * NSPLIT;
    var top = -1e30; var sum = 0.0;
#for s in 0..$NSPLIT
    let part$s = softmax[at + $s];
    top = max(top, part$s.x);
#end
#for s in 0..$NSPLIT
    sum += part$s.y * exp(part$s.x - top);
#end
    shares[i] = exp(softmax[at + i % NSPLIT].x - top) / sum;
  }
  workgroupBarrier();
}

// What lies at `at` of a column.
fn merged(column : u32, at : u32) -> vec4<f32> {
  let head = four_at(at, HEADS * HD4 / 8u) / HD4;
  var sum = vec4(0.0);
#for s in 0..$NSPLIT
  sum += partials[(column * NSPLIT + $s) * HEADS * HD4 + at] * shares[head * NSPLIT + $s];
#end
  return sum;
}
