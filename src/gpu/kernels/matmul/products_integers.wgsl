// A block's products (or half a block's), exact in integers; scaled they go to v and w in f32.
#for j in 0..4
    let t$j = token_scales[ty + ${j}u * 8u];
#end
#for i in 0..4
    let a$i = row_scales[tx + ${i}u * 8u]; let b$i = row_scales[tx + ${i}u * 8u + 32u];
#end
#for half in 0..$HALVES
    {
#for j in 0..4
#for i in 0..4
      var f${i}_$j = vec2<i32>(); // of v
      var g${i}_$j = vec2<i32>(); // of w
#end
#end
      for (var k = ${half}u * (8u / $HALVES); k < (${half}u + 1u) * (8u / $HALVES); k++) {
#for j in 0..4
        let x$j = tokens[(ty + ${j}u * 8u) * PITCH + k];
#end
#for i in 0..4
        let p$i = levels[(tx + ${i}u * 8u) * PITCH + k];
        let q$i = levels[(tx + ${i}u * 8u + 32u) * PITCH + k];
#for j in 0..4
        f${i}_$j += vec2<i32>(dot4I8Packed(p$i, x$j.x), dot4I8Packed(p$i, x$j.y));
        g${i}_$j += vec2<i32>(dot4I8Packed(q$i, x$j.x), dot4I8Packed(q$i, x$j.y));
#end
#end
      }
#for j in 0..4
#for i in 0..4
#if MINS
      v${i}_$j += t$j.x * (a$i.x * f32(256 * f${i}_$j.x + f${i}_$j.y) - a$i.y * t$j.y);
      w${i}_$j += t$j.x * (b$i.x * f32(256 * g${i}_$j.x + g${i}_$j.y) - b$i.y * t$j.y);
#else
      v${i}_$j += t$j.x * a$i[$half] * f32(256 * f${i}_$j.x + f${i}_$j.y);
      w${i}_$j += t$j.x * b$i[$half] * f32(256 * g${i}_$j.x + g${i}_$j.y);
#endif
#end
#end
    }
#end
