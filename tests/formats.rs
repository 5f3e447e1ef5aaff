//! The parsers on files of other writers: the `gguf` and `safetensors` packages (`tests/fixtures/formats.py`).

use std::collections::BTreeMap;

use qwen3_web::error::Result;
use qwen3_web::formats::quant::dequantize;
use qwen3_web::formats::{DType, OnRows, TensorInfo, Value, gguf, safetensors};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/formats/{name}", env!("CARGO_MANIFEST_DIR"))).expect("the fixture")
}

/// Type, shape and values of every tensor, by name.
type Tensors = BTreeMap<String, (DType, Vec<usize>, Vec<f32>)>;

fn read(bytes: &[u8], mut push: impl FnMut(&[u8], &mut OnRows) -> Result<()>) -> Tensors {
    let mut tensors = Tensors::new();
    for chunk in bytes.chunks(37) {
        push(chunk, &mut |info: &TensorInfo, first_row, rows| {
            let tensor =
                tensors.entry(info.name.clone()).or_insert_with(|| (info.dtype, info.shape.clone(), Vec::new()));
            assert_eq!(tensor.2.len(), first_row * info.columns());
            let mut values = vec![0.0; rows.len() / info.row_bytes() * info.columns()];
            dequantize(info.dtype, rows, &mut values);
            tensor.2.extend(values);
            Ok(())
        })
        .expect("a valid file");
    }
    tensors
}

/// The fixture script's values; quantised types come within half a step of them.
fn check(tensors: &Tensors, name: &str, dtype: DType, shape: &[usize], tolerance: f32) {
    let (got_dtype, got_shape, values) = &tensors[name];
    assert_eq!((*got_dtype, got_shape.as_slice()), (dtype, shape), "{name}");
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
    for (i, value) in values.iter().enumerate() {
        let expected = (i as f32 - 40.0) / 8.0;
        assert!((value - expected).abs() <= tolerance, "{name} element {i}: {value} instead of {expected}");
    }
}

#[test]
fn a_gguf_of_the_gguf_package_reads_as_it_was_written() {
    let mut stream = gguf::Stream::new();
    let tensors = read(&fixture("small.gguf"), |bytes, on_rows| stream.push(bytes, on_rows));
    stream.finish().unwrap();
    assert_eq!(tensors.len(), 7);
    check(&tensors, "matrix.f32", DType::F32, &[7, 64], 0.0);
    check(&tensors, "matrix.f16", DType::F16, &[7, 64], 0.0);
    check(&tensors, "matrix.bf16", DType::BF16, &[7, 64], 0.125);
    // Largest value 50.875: a step of 0.4, and of 0.13 over the 4 of one block.
    check(&tensors, "matrix.q8_0", DType::Q8_0, &[7, 64], 0.25);
    check(&tensors, "matrix.q5_1", DType::Q5_1, &[7, 64], 0.08);
    check(&tensors, "vector", DType::F32, &[5], 0.0);
    check(&tensors, "cube", DType::F32, &[2, 3, 4], 0.0);

    let metadata = stream.metadata().unwrap();
    let expected = [
        ("general.architecture", Value::String("qwen3".into())),
        ("t.u8", Value::Integer(200)),
        ("t.i8", Value::Integer(-100)),
        ("t.u16", Value::Integer(60_000)),
        ("t.i16", Value::Integer(-30_000)),
        ("t.u32", Value::Integer(4_000_000_000)),
        ("t.i32", Value::Integer(-2_000_000_000)),
        ("t.u64", Value::Integer(1 << 62)),
        ("t.i64", Value::Integer(-(1 << 62))),
        ("t.f32", Value::Float(0.1f32.into())),
        ("t.f64", Value::Float(0.1)),
        ("t.bool", Value::Bool(true)),
        ("t.string", Value::String("思考 <think>".into())),
        ("t.strings", Value::Strings(vec!["a".into(), "".into(), "Ġb".into()])),
        ("t.integers", Value::Integers(vec![1, -2, 3])),
        ("t.floats", Value::Floats(vec![0.5, -0.25])),
    ];
    for (key, value) in expected {
        assert_eq!(metadata.get(key), Some(&value), "{key}");
    }
}

#[test]
fn a_safetensors_of_the_safetensors_package_reads_as_it_was_written() {
    let mut stream = safetensors::Stream::new();
    let tensors = read(&fixture("small.safetensors"), |bytes, on_rows| stream.push(bytes, on_rows));
    stream.finish().unwrap();
    assert_eq!(tensors.len(), 4);
    check(&tensors, "matrix.f32", DType::F32, &[7, 64], 0.0);
    check(&tensors, "matrix.f16", DType::F16, &[7, 64], 0.0);
    check(&tensors, "vector", DType::F32, &[5], 0.0);
    check(&tensors, "cube", DType::F32, &[2, 3, 4], 0.0);
    assert_eq!(stream.metadata()["format"], "np");
}
