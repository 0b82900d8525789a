//! Functions of two elements, SwiGLU among them: broadcasting on either side, every mix of types.
//! Remainders have operands of their own: what is exact for small quotients fails for large ones.

use unisono_core::op::{BinaryOp, Gate, Op};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const FAR: DataClass = DataClass::Adversarial("far");
const POWERS: DataClass = DataClass::Adversarial("powers");
const SIGNED_POWERS: DataClass = DataClass::Adversarial("signed_powers");
const TINY: DataClass = DataClass::Adversarial("tiny");
const QUOTIENTS: DataClass = DataClass::Adversarial("quotients");

fn fills(data: DataClass, half: bool) -> [Fill; 2] {
    match data {
        DataClass::Exact => [Fill::Integers { max: 8 }, Fill::Integers { max: 8 }],
        DataClass::Wide if half => [Fill::Wide { min_exp: -7, max_exp: 6 }, Fill::Wide { min_exp: -7, max_exp: 6 }],
        DataClass::Wide => [Fill::Wide { min_exp: -60, max_exp: 60 }, Fill::Wide { min_exp: -60, max_exp: 60 }],
        FAR => [Fill::normal(4000.0), Fill::NORMAL],
        TINY => [
            Fill::Cycle(vec![0.0, -0.0, 1e-40, -1e-40, 6e-8, 2e-38, -2e-38, 1.0]),
            Fill::Cycle(vec![1.0, -0.0, 2.0, 1e-38, -3.0, 2e-38, 0.5]),
        ],
        POWERS => [Fill::Uniform { low: 0.02, high: 20.0 }, Fill::normal(2.0)],
        SIGNED_POWERS => [
            Fill::Cycle(vec![-1.0, -2.0, -1.5, 0.0, 1.0, 2.0, -0.5, 10.0, 1.000_001, -3.0, 0.1]),
            Fill::Cycle(vec![0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 4.0, 1e3, 5.0, 7.0, 8_388_609.0, 0.5, -0.5]),
        ],
        // Quotients of every size, most of them with more digits than a float has, and some that f32
        // overflows at.
        DataClass::Bits => {
            [Fill::Bits { start: 0x9E37_79B9, step: 0x85EB_CA6B }, Fill::Bits { start: 0x1234_5677, step: 0xC2B2_AE35 }]
        }
        QUOTIENTS => [
            Fill::Cycle(vec![1e10, -1e10, 16_777_217.0, 3e4, 65504.0, -7.0, 7.0, 3e38, -3e38, 0.3, 5.999_999_5, 1.0]),
            Fill::Cycle(vec![3.0, 2.0, -2.0, 0.1, 7.0, 1e-3, 65504.0, 0.7, -6.2e-5, 1.5, 2e-38, 6.0, 1e30]),
        ],
        _ => [Fill::NORMAL, Fill::normal(3.0)],
    }
}

const LAYOUTS: [[Layout; 3]; 9] = [
    [Layout::Plain, Layout::Plain, Layout::Plain],
    [Layout::Plain, Layout::SharedRow, Layout::Plain],
    [Layout::Scalar, Layout::Plain, Layout::Plain],
    [Layout::Plain, Layout::Scalar, Layout::Gap(1)],
    [Layout::SharedBatch, Layout::Plain, Layout::Plain],
    [Layout::Transposed, Layout::Plain, Layout::Plain],
    [Layout::Gap(3), Layout::Gap(1), Layout::Gap(2)],
    [Layout::Skip, Layout::Reversed, Layout::Plain],
    [Layout::Plain, Layout::Transposed, Layout::Skip],
];

struct Row<'a> {
    op: &'a Op,
    name: &'static str,
    shape: &'a [usize],
    types: [DType; 3],
    layouts: [Layout; 3],
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [ta, tb, ty] = row.types;
    let [la, lb, ly] = row.layouts;
    let params = format!(
        "dtype={},shape={},layout={}_{}_{}",
        types(&row.types),
        dims(row.shape),
        la.name(),
        lb.name(),
        ly.name()
    );
    let [fa, fb] = fills(row.data, row.types.contains(&DType::F16));
    Draft::new(row.op.clone(), row.name, params, row.data)
        .input(la.desc(ta, row.shape)?, fa)
        .input(lb.desc(tb, row.shape)?, fb)
        .output(ly.desc(ty, row.shape)?)
        .quick_if(row.quick)
        .add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 9] =
        [&[], &[0], &[1], &[257], &[33, 65], &[3, 0, 2], &[5, 7, 3], &[2, 3, 4, 33], &[127, 129]];
    let data = [DataClass::Exact, DataClass::Normal, DataClass::Wide];
    let ops = BinaryOp::ALL.map(Op::Binary).into_iter().take(4).chain([Op::Gated(Gate::SwiGlu)]);
    for (k, op) in ops.enumerate() {
        for (i, shape) in shapes.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                for l in 0..3 {
                    let turn = i + t + k + 3 * l;
                    let types = match turn % 4 {
                        3 => [dtype, DType::F32, dtype],
                        1 if l == 2 => [DType::F32, dtype, DType::F32],
                        _ => [dtype; 3],
                    };
                    add(
                        sink,
                        &Row {
                            op: &op,
                            name: "shape",
                            shape,
                            types,
                            layouts: pick(&LAYOUTS, turn),
                            data: pick(&data, i + t + l),
                            quick: l == (i + k) % 3 && t == (i + l) % 3,
                        },
                    )?;
                }
            }
        }
        for dtype in FLOATS {
            let quick = dtype == DType::F32;
            let base = Row {
                op: &op,
                name: "values",
                shape: &[1003],
                types: [dtype; 3],
                layouts: LAYOUTS[0],
                data: DataClass::Wide,
                quick,
            };
            add(sink, &base)?;
            for data in [FAR, TINY] {
                add(sink, &Row { data, ..base })?;
            }
            add(sink, &Row { name: "many", shape: &[70000, 3], data: DataClass::Normal, quick: false, ..base })?;
            let special = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0];
            let data = DataClass::Adversarial("nonfinite");
            if op != Op::Gated(Gate::SwiGlu) {
                Draft::new(op.clone(), "special", format!("dtype={dtype}"), data)
                    .input(Layout::Plain.desc(dtype, &[20])?, Fill::Cycle(special.clone()))
                    .input(Layout::Plain.desc(dtype, &[20])?, Fill::Cycle(special[1..].to_vec()))
                    .output(Layout::Plain.desc(dtype, &[20])?)
                    .informative()
                    .add(sink)?;
            }
        }
    }
    fewer(sink)
}

/// Powers, extrema and the other gates: a layout and a type for each shape, and hard values.
fn fewer(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 9] =
        [&[257], &[33, 65], &[], &[5, 7, 3], &[0], &[2, 3, 4, 33], &[127, 129], &[1], &[70000, 3]];
    let functions = BinaryOp::ALL.into_iter().skip(4).map(Op::Binary);
    let gates = Gate::ALL.into_iter().skip(1).map(Op::Gated);
    for (k, op) in functions.chain(gates).enumerate() {
        let is_pow = op == Op::Binary(BinaryOp::Pow);
        for (i, shape) in shapes.into_iter().enumerate() {
            let dtype = pick(&FLOATS, i + k);
            let types = match i {
                3 => [dtype, DType::F32, dtype],
                _ => [dtype; 3],
            };
            let layouts = pick(&LAYOUTS, i + k);
            let row = Row {
                op: &op,
                name: "shape",
                shape,
                types,
                layouts,
                data: if is_pow {
                    POWERS
                } else {
                    pick(&[DataClass::Normal, DataClass::Exact, DataClass::Wide], i + k)
                },
                quick: i == k % 2,
            };
            add(sink, &row)?;
        }
        for dtype in FLOATS {
            let base = Row {
                op: &op,
                name: "values",
                shape: &[1003],
                types: [dtype; 3],
                layouts: LAYOUTS[0],
                data: if is_pow { SIGNED_POWERS } else { FAR },
                quick: is_pow && dtype == DType::F32,
            };
            add(sink, &base)?;
            add(sink, &Row { data: TINY, quick: false, ..base })?;
            if op == Op::Binary(BinaryOp::Rem) {
                add(sink, &Row { data: QUOTIENTS, quick: dtype == DType::F32, ..base })?;
                add(sink, &Row { data: DataClass::Bits, shape: &[20_003], quick: dtype == DType::F16, ..base })?;
            }
        }
    }
    Ok(())
}
