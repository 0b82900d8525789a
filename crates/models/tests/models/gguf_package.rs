//! A file of the Python package `gguf` (`scripts/gguf_formats.py`): every block format and every
//! type of metadata reads as that package wrote it.

use unisono_core::{DType, Device};
use unisono_models::gguf::{Array, File, Value};

const FILE: &[u8] = include_bytes!("../../assets/gguf/formats.gguf");

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[test]
fn every_block_format_decodes_to_the_values_of_the_package() {
    let file = File::parse("formats.gguf", FILE).unwrap();
    assert_eq!((file.version(), file.tensors().len()), (3, 2 * DType::BLOCKS.len() + 8));
    for dtype in DType::BLOCKS {
        let info = &file.tensors()[dtype.name()];
        assert_eq!((info.stored.dtype(), &info.shape[..]), (Some(dtype), &[1, 256][..]));
        let values = &file.tensors()[&format!("{dtype}.values")];
        let expected = f32s(&FILE[values.bytes.clone()]);
        let device = Device::new(unisono_cpu::CpuBackend::new().unwrap());
        let stored = device.tensor_from_bytes(dtype, &FILE[info.bytes.clone()], &info.shape).unwrap();
        let row = device.tensor(&[0u32], &[1]).unwrap();
        let decoded = stored.gather_rows_as(&row, DType::F32).unwrap().to_vec::<f32>().unwrap();
        for (i, (a, b)) in decoded.iter().zip(&expected).enumerate() {
            // The package rounds products of scales once more than the formula.
            assert!((a - b).abs() <= 4.0 * f32::EPSILON * b.abs().max(1.0), "{dtype} element {i}: {a}, {b}");
        }
        assert_eq!(decoded.len(), expected.len());
    }
}

#[test]
fn plain_types_and_dimensions_are_those_of_numpy() {
    let file = File::parse("formats.gguf", FILE).unwrap();
    let types = [
        ("f32", DType::F32, 4),
        ("f16", DType::F16, 2),
        ("bf16", DType::BF16, 2),
        ("i8", DType::I8, 1),
        ("i32", DType::I32, 4),
        ("i64", DType::I64, 8),
    ];
    for (name, dtype, size) in types {
        let info = &file.tensors()[name];
        assert_eq!((info.stored.dtype(), &info.shape[..]), (Some(dtype), &[2, 3, 4][..]), "{name}");
        assert_eq!(info.bytes.len(), 24 * size);
        assert!(info.bytes.start.is_multiple_of(64));
    }
    let counted: Vec<f32> = (0..24u8).map(f32::from).collect();
    assert_eq!(f32s(&FILE[file.tensors()["f32"].bytes.clone()]), counted);
    for (name, length) in [("i16", 48), ("f64", 192)] {
        let info = &file.tensors()[name];
        assert_eq!((info.stored.dtype(), info.bytes.len()), (None, length));
        assert_eq!(info.stored.to_string(), name.to_uppercase());
    }
}

#[test]
fn every_type_of_metadata_is_read() {
    let file = File::parse("formats.gguf", FILE).unwrap();
    let metadata = file.metadata();
    let get = |key: &str| metadata.get(&format!("test.{key}")).unwrap().clone();
    let array = |key: &str| match get(&format!("{key}.array")) {
        Value::Array(array) => array,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (get("uint8"), get("uint8.low"), array("uint8")),
        (Value::U8(255), Value::U8(0), Array::U8(vec![0, 1, 255]))
    );
    assert_eq!(
        (get("int8"), get("int8.low"), array("int8")),
        (Value::I8(127), Value::I8(-128), Array::I8(vec![-128, 1, 127]))
    );
    assert_eq!((get("uint16"), array("uint16")), (Value::U16(u16::MAX), Array::U16(vec![0, 1, u16::MAX])));
    assert_eq!((get("int16.low"), array("int16")), (Value::I16(i16::MIN), Array::I16(vec![i16::MIN, 1, i16::MAX])));
    assert_eq!((get("uint32"), array("uint32")), (Value::U32(u32::MAX), Array::U32(vec![0, 1, u32::MAX])));
    assert_eq!((get("int32.low"), array("int32")), (Value::I32(i32::MIN), Array::I32(vec![i32::MIN, 1, i32::MAX])));
    assert_eq!((get("uint64"), array("uint64")), (Value::U64(u64::MAX), Array::U64(vec![0, 1, u64::MAX])));
    assert_eq!((get("int64.low"), array("int64")), (Value::I64(i64::MIN), Array::I64(vec![i64::MIN, 1, i64::MAX])));
    let floats = Array::F32(vec![0.25, f32::INFINITY, -1e-30]);
    assert_eq!((get("float32"), array("float32")), (Value::F32(-1.5), floats));
    let floats = Array::F64(vec![0.25, f64::INFINITY, -1e-30]);
    assert_eq!((get("float64"), array("float64")), (Value::F64(-1.5), floats));
    assert_eq!((get("bool"), array("bool")), (Value::Bool(true), Array::Bool(vec![true, false, true])));
    assert_eq!(get("string"), Value::String("Grüße, 世界".into()));
    let strings = metadata.strings("test.string.array").unwrap().unwrap();
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "Ġthe"]);
    assert_eq!(metadata.u64("general.alignment").unwrap(), Some(64));
    assert_eq!(metadata.str("general.architecture").unwrap(), Some("test"));
    // Getters convert where nothing is lost, and name the key where something is.
    assert_eq!(metadata.u64("test.int64").unwrap(), Some(i64::MAX as u64));
    assert_eq!(metadata.u32s("test.uint8.array").unwrap(), Some(vec![0, 1, 255]));
    assert_eq!(metadata.f64("test.float32").unwrap(), Some(-1.5));
    assert_eq!(metadata.str("test.absent").unwrap(), None);
    let message = metadata.u64("test.int8.low").unwrap_err().to_string();
    assert_eq!(message, "formats.gguf: metadata test.int8.low is I8(-128); wanted is a whole number");
    assert!(metadata.u32s("test.int32.array").is_err() && metadata.bool("test.uint8").is_err());
}
