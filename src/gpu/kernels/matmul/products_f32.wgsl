// A block's products, added to v and w four by four.
    for (var k = 0u; k < 8u; k++) {
#for j in 0..4
      let x$j = tile[(XS + ty + ${j}u * 8u) * PITCH + k];
#end
#for i in 0..4
      let a$i = tile[(tx + ${i}u * 8u) * PITCH + k];
      let b$i = tile[(tx + ${i}u * 8u + 32u) * PITCH + k];
#for j in 0..4
      v${i}_$j += dot(a$i, x$j);
      w${i}_$j += dot(b$i, x$j);
#end
#end
    }
