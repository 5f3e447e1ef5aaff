// No scales.
fn scales(rg : u32, b : u32) -> Scales { return Scales(vec4(1.0), vec4(0.0), vec4(1.0), vec4(0.0)); }
