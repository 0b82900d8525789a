//! Sum, mean, max and argmax: each axis, long lines, ties, sums that cancel.

use unisono_core::op::{ArgMax, Op, Reduce, ReduceOp};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const CANCEL: DataClass = DataClass::Adversarial("cancel");
const TIES: DataClass = DataClass::Adversarial("ties");
const EQUAL: DataClass = DataClass::Adversarial("equal");
const NEGATIVE: DataClass = DataClass::Adversarial("negative");

struct Row<'a> {
    /// None is argmax.
    op: Option<ReduceOp>,
    shape: &'a [usize],
    axis: usize,
    types: [DType; 2],
    layouts: [Layout; 2],
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [tx, ty] = row.types;
    let ty = if row.op.is_some() { ty } else { DType::U32 };
    let fill = match row.data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide if tx == DType::F16 => Fill::Wide { min_exp: -10, max_exp: 5 },
        DataClass::Wide => Fill::Wide { min_exp: -30, max_exp: 30 },
        CANCEL => Fill::Cancel { axis: row.axis, scale: 1000.0 },
        TIES => Fill::Integers { max: 1 },
        EQUAL => Fill::constant(-3.5),
        NEGATIVE => Fill::Normal { mean: -1000.0, scale: 10.0 },
        _ => Fill::NORMAL,
    };
    let op = match row.op {
        Some(op) => Op::Reduce(Reduce { op, axis: row.axis }),
        None => Op::ArgMax(ArgMax { axis: row.axis }),
    };
    let [lx, ly] = row.layouts;
    let params = format!(
        "dtype={},shape={},axis={},layout={}_{}",
        types(&[tx, ty][..1 + usize::from(row.op.is_some())]),
        dims(row.shape),
        row.axis,
        lx.name(),
        ly.name()
    );
    let mut reduced = row.shape.to_vec();
    reduced[row.axis] = 1;
    Draft::new(op, "axis", params, row.data)
        .input(lx.desc(tx, row.shape)?, fill)
        .output(ly.desc(ty, &reduced)?)
        .quick_if(row.quick)
        .add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 19] = [
        &[1],
        &[2],
        &[31],
        &[257],
        &[1000],
        &[4097],
        &[3, 33],
        &[33, 3],
        &[64, 65],
        &[7, 128],
        &[5, 1],
        &[129, 127],
        &[2, 3, 5],
        &[3, 64, 17],
        &[2, 3, 4, 33],
        &[3, 1023],
        &[0, 4],
        &[2, 8193],
        &[1, 32001],
    ];
    let layouts = [
        [Layout::Plain, Layout::Plain],
        [Layout::Gap(3), Layout::Plain],
        [Layout::Transposed, Layout::Gap(1)],
        [Layout::Plain, Layout::Reversed],
        [Layout::Skip, Layout::Plain],
        [Layout::SharedRow, Layout::Plain],
    ];
    let ops = ReduceOp::ALL.map(Some).into_iter().chain([None]);
    for (k, op) in ops.enumerate() {
        let data = match op {
            Some(ReduceOp::Sum | ReduceOp::Mean) => {
                [DataClass::Exact, DataClass::Normal, CANCEL, DataClass::Wide, NEGATIVE]
            }
            _ => [TIES, NEGATIVE, DataClass::Normal, EQUAL, DataClass::Wide],
        };
        for (i, shape) in shapes.into_iter().enumerate() {
            for axis in 0..shape.len() {
                // Nothing is the largest of nothing.
                let wanted = if shape[axis] == 0 && op != Some(ReduceOp::Sum) { shape.len() - 1 } else { axis };
                if wanted != axis {
                    continue;
                }
                for (t, dtype) in FLOATS.into_iter().enumerate() {
                    let turn = i + axis + t + k;
                    let types = if turn % 4 == 1 { [dtype, DType::F32] } else { [dtype; 2] };
                    let quick = t == (i + axis) % 3 && (i + axis + k) % 2 == 0;
                    let row = Row {
                        op,
                        shape,
                        axis,
                        types,
                        layouts: pick(&layouts, turn),
                        data: pick(&data, turn + t),
                        quick,
                    };
                    add(sink, &row)?;
                }
            }
        }
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            let base = Row {
                op,
                shape: &[70000, 3],
                axis: 1,
                types: [dtype; 2],
                layouts: layouts[0],
                data: data[0],
                quick: false,
            };
            add(sink, &base)?;
            add(sink, &Row { axis: 0, types: [dtype, DType::F32], ..base })?;
            add(sink, &Row { shape: &[1, 128_256], data: pick(&data, t), types: [dtype, DType::F32], ..base })?;
            let special = vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0];
            let informative = DataClass::Adversarial("nonfinite");
            let (op, out) = match op {
                Some(op) => (Op::Reduce(Reduce { op, axis: 1 }), dtype),
                None => (Op::ArgMax(ArgMax { axis: 1 }), DType::U32),
            };
            Draft::new(op, "special", format!("dtype={dtype}"), informative)
                .input(Layout::Plain.desc(dtype, &[3, 7])?, Fill::Cycle(special))
                .output(Layout::Plain.desc(out, &[3, 1])?)
                .informative()
                .add(sink)?;
        }
    }
    Ok(())
}
