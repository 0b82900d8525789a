//! Block formats against an independent implementation: `scripts/quant_goldens.py` writes the files
//! in `quant/` with the `gguf` package of Python.
//!
//! The oracle and the CPU must agree bit for bit. A GPU may round one operation in either direction,
//! so it may be a unit off where it decodes, and a step where it quantises.

use std::path::Path;

use unisono_conformance::decode;
use unisono_core::op::Op;
use unisono_core::{DType, Device, OpDesc, Support, TensorDesc};

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("quant").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// Random blocks of a format as `[1, elements]`, and what they decode to.
fn blocks(dtype: DType) -> (Vec<u8>, Vec<f32>) {
    (golden(&format!("{dtype}.blocks")), floats(&golden(&format!("{dtype}.f32"))))
}

/// A device of this machine.
struct Opened {
    id: String,
    device: Device,
    /// Whether it has to agree bit for bit.
    exact: bool,
}

fn devices() -> Vec<Opened> {
    let open = |summary: unisono::DeviceSummary| {
        let device = summary.open().unwrap();
        Opened { exact: summary.id == "cpu", id: summary.id, device }
    };
    let opened: Vec<Opened> = unisono::devices().into_iter().map(open).collect();
    assert!(opened.iter().any(|d| d.exact), "there is always a CPU");
    opened
}

impl Opened {
    /// Whether the device converts between two types. The CPU has to.
    fn converts(&self, from: DType, to: DType) -> bool {
        let desc = |dtype| TensorDesc::contiguous(dtype, &[1, 256]).unwrap();
        let copy = OpDesc::new(Op::Copy, vec![desc(from)], vec![desc(to)]).unwrap();
        let able = !matches!(self.device.supports(&copy), Support::Unsupported(_));
        assert!(able || !self.exact, "the CPU does not convert {from} to {to}");
        able
    }
}

#[test]
fn the_oracle_decodes_as_the_package() {
    for dtype in DType::BLOCKS {
        let (bytes, expected) = blocks(dtype);
        let actual = decode(dtype, &bytes);
        assert_eq!(actual.len(), expected.len(), "{dtype}");
        for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
            // The oracle does not round.
            assert_eq!(*a as f32, *e, "{dtype} element {i}");
        }
    }
}

#[test]
fn every_device_decodes_as_the_package() {
    let devices = devices();
    for dtype in DType::BLOCKS {
        let (bytes, expected) = blocks(dtype);
        for Opened { id, device, exact } in devices.iter().filter(|d| d.converts(dtype, DType::F32)) {
            let x = device.tensor_from_bytes(dtype, &bytes, &[1, expected.len()]).unwrap();
            let actual = x.cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
            let different = actual.iter().zip(&expected).filter(|(a, e)| a.to_bits() != e.to_bits()).count();
            println!("{id}: {dtype}: {different} of {} decoded elements differ", expected.len());
            for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
                let unit = if *exact { 0.0 } else { e.abs() * f32::EPSILON };
                assert!((a - e).abs() <= unit, "{id}: {dtype} element {i} is {a}, not {e}");
            }
        }
    }
}

#[test]
fn every_device_quantises_as_the_package() {
    let numbers = floats(&golden("numbers.f32"));
    let devices = devices();
    for dtype in DType::BLOCKS.into_iter().filter(|d| d.is_quantisable()) {
        let expected = golden(&format!("{dtype}.made"));
        for Opened { id, device, exact } in devices.iter().filter(|d| d.converts(DType::F32, dtype)) {
            let x = device.tensor(&numbers, &[8, 256]).unwrap();
            let actual = x.cast(dtype).unwrap().read().wait().unwrap();
            let (a, e) = (decode(dtype, &actual), decode(dtype, &expected));
            let different = actual.iter().zip(&expected).filter(|(a, e)| a != e).count();
            assert_eq!(actual.len(), expected.len(), "{id}: {dtype}");
            println!("{id}: {dtype}: {different} of {} bytes differ", expected.len());
            assert!(!exact || different == 0, "{id}: {different} bytes of {dtype} differ");
            assert!(different * 50 <= expected.len(), "{id}: {different} bytes of {dtype} differ");
            for (row, x) in numbers.chunks(256).enumerate() {
                let largest = x.iter().fold(0f32, |a, x| a.max(x.abs()));
                let step = f64::from(largest) * step(dtype) * 1.01;
                for i in 256 * row..256 * (row + 1) {
                    assert!((a[i] - e[i]).abs() <= step, "{id}: {dtype} element {i} is {}, not {}", a[i], e[i]);
                }
            }
        }
    }
}

/// The largest distance of neighbouring values, relative to the largest element.
fn step(dtype: DType) -> f64 {
    match dtype {
        DType::Q4_0 => 1.0 / 8.0,
        DType::Q5_0 => 1.0 / 16.0,
        DType::Q8_0 => 1.0 / 127.0,
        DType::Q5_1 | DType::Q5K => 2.0 / 31.0,
        DType::Q6K => 1.0 / 31.0,
        DType::Mxfp4 => 0.5,
        DType::Q2K => 2.0 / 3.0,
        DType::Q3K => 1.0 / 3.0,
        _ => 2.0 / 15.0,
    }
}
