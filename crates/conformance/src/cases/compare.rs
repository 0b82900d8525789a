//! Comparison, logic and choice: ties, both zeros and subnormal numbers, every element type.

use unisono_core::op::{CompareOp, LogicalOp, Op, UnaryOp};
use unisono_core::{DType, Result};

use super::integer::edge_pair;
use super::movement::bits;
use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const TIES: DataClass = DataClass::Adversarial("ties");

const SHAPES: [&[usize]; 6] = [&[257], &[33, 65], &[], &[5, 7, 3], &[3, 0], &[129, 31]];

const LAYOUTS: [[Layout; 3]; 5] = [
    [Layout::Plain, Layout::Plain, Layout::Plain],
    [Layout::Plain, Layout::SharedRow, Layout::Gap(1)],
    [Layout::Transposed, Layout::Plain, Layout::Plain],
    [Layout::Scalar, Layout::Skip, Layout::Plain],
    [Layout::Gap(3), Layout::Reversed, Layout::Skip],
];

/// Values of which many agree, and some hardly differ.
fn close(dtype: DType) -> [Fill; 2] {
    if !dtype.is_float() {
        return edge_pair(dtype);
    }
    let list = vec![0.0, -0.0, 1e-40, -1e-40, 1.0, 1.000_000_1, -1.0, 6e-8, 3e4, -3e4, 0.5, 2.5, -2.5];
    let mut other = list.clone();
    other.reverse();
    other.push(1.0);
    [Fill::Cycle(list), Fill::Cycle(other)]
}

fn compare(sink: Sink<'_>) -> Result<()> {
    let pairs = [
        [DType::F32; 2],
        [DType::F16; 2],
        [DType::BF16; 2],
        [DType::I32; 2],
        [DType::U32; 2],
        [DType::I8; 2],
        [DType::U8; 2],
        [DType::F16, DType::F32],
        [DType::F32, DType::BF16],
        [DType::I64; 2],
        [DType::Bool; 2],
    ];
    for (k, op) in CompareOp::ALL.into_iter().enumerate() {
        for (t, pair) in pairs.into_iter().enumerate().filter(|(_, pair)| op.takes(pair[0])) {
            for n in 0..2 {
                let turn = k + t + n;
                let shape = if n == 0 { pick(&[&[300usize][..], &[19, 17]], turn) } else { pick(&SHAPES, turn) };
                let layouts = pick(&LAYOUTS, turn + n);
                let names = layouts.map(Layout::name).join("_");
                let params = format!("dtype={},shape={},layout={names}", types(&pair), dims(shape));
                let [a, b] = close(pair[0]);
                Draft::new(Op::Compare(op), if n == 0 { "ties" } else { "shape" }, params, TIES)
                    .input(layouts[0].desc(pair[0], shape)?, a)
                    .input(layouts[1].desc(pair[1], shape)?, b)
                    .output(layouts[2].desc(DType::Bool, shape)?)
                    .quick_if(n == 0 && (t == k || (t == 6 && k == 2) || (t == 7 && k == 5)))
                    .add(sink)?;
            }
        }
    }
    Ok(())
}

fn logical(sink: Sink<'_>) -> Result<()> {
    for (k, op) in LogicalOp::ALL.into_iter().enumerate() {
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for n in 0..2 {
                let layouts = pick(&LAYOUTS, i + k + 2 * n);
                let names = layouts.map(Layout::name).join("_");
                Draft::new(Op::Logical(op), "shape", format!("shape={},layout={names}", dims(shape)), DataClass::Bits)
                    .input(layouts[0].desc(DType::Bool, shape)?, Fill::Indices { rows: 2 })
                    .input(layouts[1].desc(DType::Bool, shape)?, Fill::Indices { rows: 2 })
                    .output(layouts[2].desc(DType::Bool, shape)?)
                    .quick_if(i == 1 && n == k % 2)
                    .add(sink)?;
            }
        }
    }
    for (i, shape) in SHAPES.into_iter().enumerate() {
        for n in 0..2 {
            let [from, to, _] = pick(&LAYOUTS, i + 2 * n);
            let params = format!("shape={},layout={}_{}", dims(shape), from.name(), to.name());
            Draft::new(Op::Unary(UnaryOp::Not), "shape", params, DataClass::Bits)
                .input(from.desc(DType::Bool, shape)?, Fill::Indices { rows: 2 })
                .output(if to == Layout::SharedRow { Layout::Plain } else { to }.desc(DType::Bool, shape)?)
                .quick_if(i == 0 && n == 0)
                .add(sink)?;
        }
    }
    Ok(())
}

fn choose(sink: Sink<'_>) -> Result<()> {
    let mut sides: Vec<[DType; 3]> = DType::PLAIN.into_iter().map(|d| [d; 3]).collect();
    sides.extend([
        [DType::F16, DType::F32, DType::F32],
        [DType::F32, DType::BF16, DType::F16],
        [DType::BF16, DType::F16, DType::BF16],
    ]);
    for (t, [a, b, y]) in sides.into_iter().enumerate() {
        for n in 0..2 {
            let shape = pick(&SHAPES, t + n);
            let [lc, la, lb] = pick(&LAYOUTS, t + 2 * n);
            let place = pick(&[Layout::Plain, Layout::Gap(1), Layout::Skip], t);
            let names = [lc, la, lb, place].map(Layout::name).join("_");
            let params = format!("dtype={},shape={},layout={names}", types(&[a, b, y]), dims(shape));
            Draft::new(Op::Where, "choose", params, DataClass::Bits)
                .dtype(y)
                .input(lc.desc(DType::Bool, shape)?, Fill::Indices { rows: 2 })
                .input(la.desc(a, shape)?, bits(a))
                .input(lb.desc(b, shape)?, bits(b))
                .output(place.desc(y, shape)?)
                .quick_if(n == 0 && [0, 1, 6, 8].contains(&t))
                .add(sink)?;
        }
    }
    for dtype in FLOATS {
        Draft::new(Op::Where, "many", format!("dtype={dtype}"), DataClass::Bits)
            .dtype(dtype)
            .input(Layout::Plain.desc(DType::Bool, &[70000, 3])?, Fill::Indices { rows: 2 })
            .input(Layout::SharedRow.desc(dtype, &[70000, 3])?, bits(dtype))
            .input(Layout::Plain.desc(dtype, &[70000, 3])?, bits(dtype))
            .output(Layout::Plain.desc(dtype, &[70000, 3])?)
            .add(sink)?;
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    compare(sink)?;
    logical(sink)?;
    choose(sink)
}
