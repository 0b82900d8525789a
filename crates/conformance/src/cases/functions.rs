//! The other functions of one element: every 16-bit input, a spread of f32, the arguments at which
//! each is hard, and a few layouts. The first eight functions are crossed with more of them.

use unisono_core::op::{Op, UnaryOp};
use unisono_core::{DType, Result};

use super::nan::is_decided;
use super::unary::{Row, add};
use super::{Draft, FLOATS, Layout, Sink, pick};
use crate::case::DataClass;
use crate::data::Fill;

const EDGE: DataClass = DataClass::Adversarial("edge");

/// Arguments at which a function is hard to compute; empty where it is not.
fn hard(op: UnaryOp) -> Vec<f64> {
    let both = |list: Vec<f64>| list.iter().flat_map(|&x| [x, -x]).collect();
    let quarter = std::f64::consts::FRAC_PI_2;
    match op {
        // Next to multiples of π/2 all leading digits cancel.
        UnaryOp::Sin | UnaryOp::Cos => {
            let near = (1..400).map(|k| f64::from(k * k % 41_721) * quarter);
            both(near.chain([1e-20, 1e-5, 0.1, 0.786, 0.785, 2.0, 25_735.9, 65_535.9, 65_536.0]).collect())
        }
        UnaryOp::Log => {
            let near_one = (-40..40).map(|i| 1.0 + f64::from(i) / 8_388_608.0);
            near_one.chain((1..60).map(|i| f64::from(i) / 30.0)).chain([1e-37, 3e38, 1.413, 1.415]).collect()
        }
        UnaryOp::Erf => {
            both(vec![0.0, 1e-30, 1e-5, 0.01, 0.3, 0.5, 0.85, 0.999_999, 1.0, 1.1, 2.0, 3.5, 4.0, 9.0, 1e4])
        }
        UnaryOp::Softplus => both(vec![0.0, 1e-5, 0.3, 1.0, 5.0, 15.0, 16.7, 20.0, 60.0, 86.0, 100.0, 1e4]),
        UnaryOp::Round | UnaryOp::Floor | UnaryOp::Ceil => both(vec![
            0.0,
            0.25,
            0.499_999_97,
            0.5,
            0.500_000_06,
            0.75,
            1.0,
            1.5,
            2.5,
            3.5,
            4_194_303.5,
            4_194_304.5,
            8_388_607.5,
            8_388_609.0,
            1e30,
            1e-40,
            0.999_999_94,
            1.000_000_1,
            254.5,
            255.5,
        ]),
        UnaryOp::Sign | UnaryOp::Abs | UnaryOp::Relu => both(vec![0.0, 1e-40, 1.2e-38, 6e-8, 1.0, 3e38]),
        _ => Vec::new(),
    }
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let floats = UnaryOp::ALL.into_iter().skip(8).filter(|op| op.takes(DType::F32));
    for (k, op) in floats.enumerate() {
        let base = |types: [DType; 2]| Row {
            op,
            name: "all",
            shape: &[65536],
            types,
            layouts: [Layout::Plain; 2],
            fill: Fill::Bits { start: 0, step: 1 },
            data: DataClass::Bits,
            quick: false,
        };
        for (t, dtype) in [DType::F16, DType::BF16].into_iter().enumerate() {
            add(sink, Row { quick: (k + t) % 2 == 0, ..base([dtype; 2]) })?;
        }
        for dtype in [DType::F16, DType::BF16] {
            add(sink, base([dtype, DType::F32]))?;
        }
        let spread = Fill::Bits { start: 1_234_567, step: 16_383 };
        add(sink, Row { name: "spread", shape: &[1 << 18], fill: spread, ..base([DType::F32; 2]) })?;
        let hard = hard(op);
        if !hard.is_empty() {
            let [n, sparse] = [[hard.len()], [hard.len().min(40)]];
            let quick = !matches!(op, UnaryOp::Sign | UnaryOp::Abs | UnaryOp::Relu | UnaryOp::Floor | UnaryOp::Ceil);
            let edge = |quick| Row {
                name: "edge",
                fill: Fill::Cycle(hard.clone()),
                data: EDGE,
                quick,
                ..base([DType::F32; 2])
            };
            add(sink, Row { shape: &n, ..edge(quick) })?;
            add(sink, Row { shape: &sparse, layouts: [Layout::Skip, Layout::Gap(1)], ..edge(false) })?;
        }
        let shapes: [&[usize]; 7] = [&[], &[0], &[257], &[64, 65], &[5, 7, 3], &[2, 3, 4, 5], &[70000, 3]];
        let layouts = [
            [Layout::Plain; 2],
            [Layout::Transposed, Layout::Plain],
            [Layout::Plain, Layout::Skip],
            [Layout::SharedRow, Layout::Gap(1)],
            [Layout::Skip, Layout::Reversed],
        ];
        for (i, shape) in shapes.into_iter().enumerate() {
            let dtype = pick(&FLOATS, i + k);
            let normal = Fill::normal(pick(&[1.0, 8.0, 100.0], i + k));
            let fill = match op {
                UnaryOp::Sqrt | UnaryOp::Log => Fill::Uniform { low: 1e-3, high: 40.0 },
                UnaryOp::Recip => Fill::Uniform { low: 0.5, high: 40.0 },
                _ => normal,
            };
            add(
                sink,
                Row {
                    name: "shape",
                    shape,
                    layouts: pick(&layouts, i + k),
                    fill,
                    data: DataClass::Normal,
                    ..base([dtype; 2])
                },
            )?;
        }
        // What is exact on bits is counted, in `nan`.
        for dtype in FLOATS.into_iter().filter(|_| !is_decided(&Op::Unary(op))) {
            let special = Fill::Cycle(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1.0]);
            Draft::new(Op::Unary(op), "special", format!("dtype={dtype}"), DataClass::Adversarial("nonfinite"))
                .input(Layout::Plain.desc(dtype, &[9])?, special)
                .output(Layout::Plain.desc(dtype, &[9])?)
                .informative()
                .add(sink)?;
        }
    }
    Ok(())
}
