// A block's products, added up in f16; the blocks' sums go to v and w in f32.
#for j in 0..4
#for i in 0..4
    var f${i}_$j = vec2<f16>(); // of v
    var g${i}_$j = vec2<f16>(); // of w
#end
#end
    for (var k = 0u; k < 8u; k++) {
#for j in 0..4
      let x$j = tile[(XS + ty + ${j}u * 8u) * PITCH + k];
#end
#for i in 0..4
      let a$i = tile[(tx + ${i}u * 8u) * PITCH + k];
      let b$i = tile[(tx + ${i}u * 8u + 32u) * PITCH + k];
#for j in 0..4
      f${i}_$j = fma(a$i.zw, x$j.zw, fma(a$i.xy, x$j.xy, f${i}_$j));
      g${i}_$j = fma(b$i.zw, x$j.zw, fma(b$i.xy, x$j.xy, g${i}_$j));
#end
#end
    }
#for j in 0..4
    let x$j = powers[XS + ty + ${j}u * 8u];
#end
#for i in 0..4
    let a$i = powers[tx + ${i}u * 8u]; let b$i = powers[tx + ${i}u * 8u + 32u];
#for j in 0..4
    v${i}_$j += (f32(f${i}_$j.x) + f32(f${i}_$j.y)) * (a$i * x$j);
    w${i}_$j += (f32(g${i}_$j.x) + f32(g${i}_$j.y)) * (b$i * x$j);
#end
#end
