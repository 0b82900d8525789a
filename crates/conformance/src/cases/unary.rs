//! The functions of transformer layers, of one element: every 16-bit input, a spread of f32, far arguments, every layout.

use unisono_core::op::{Op, UnaryOp};
use unisono_core::{DType, Result};

use super::nan::is_decided;
use super::{Draft, FLOATS, Layout, Sink, dims, pick};
use crate::case::DataClass;
use crate::data::Fill;

/// A function on one shape, layout and kind of data.
pub(super) struct Row<'a> {
    pub(super) op: UnaryOp,
    pub(super) name: &'static str,
    pub(super) shape: &'a [usize],
    pub(super) types: [DType; 2],
    pub(super) layouts: [Layout; 2],
    pub(super) fill: Fill,
    pub(super) data: DataClass,
    pub(super) quick: bool,
}

pub(super) fn add(sink: Sink<'_>, row: Row<'_>) -> Result<()> {
    let [tx, ty] = row.types;
    let [lx, ly] = row.layouts;
    let params =
        format!("dtype={},shape={},layout={}_{}", super::types(&row.types), dims(row.shape), lx.name(), ly.name());
    Draft::new(Op::Unary(row.op), row.name, params, row.data)
        .input(lx.desc(tx, row.shape)?, row.fill)
        .output(ly.desc(ty, row.shape)?)
        .quick_if(row.quick)
        .add(sink)
}

/// Arguments on which the function has a value: a root needs a positive one.
fn domain(op: UnaryOp, fill: Fill) -> Fill {
    match (op, fill) {
        (UnaryOp::Rsqrt, Fill::Normal { scale, .. }) => Fill::Uniform { low: scale * 1e-3, high: scale * 4.0 },
        (_, fill) => fill,
    }
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let plain = [Layout::Plain; 2];
    let shapes: [&[usize]; 10] =
        [&[], &[0], &[1], &[3, 0], &[33], &[257], &[64, 65], &[5, 7, 3], &[2, 3, 4, 5], &[129, 31]];
    let layouts = [
        plain,
        [Layout::Gap(3), Layout::Plain],
        [Layout::Transposed, Layout::Plain],
        [Layout::Plain, Layout::Skip],
        [Layout::SharedRow, Layout::Gap(1)],
        [Layout::Skip, Layout::Reversed],
    ];
    let tiny = || vec![0.0, -0.0, 1e-40, -1e-40, 1.2e-38, -1.2e-38, 6e-8, -6e-8, 6.2e-5, -6.2e-5, 1e-10];
    for (k, op) in UnaryOp::ALL.into_iter().take(8).enumerate() {
        let base = |types: [DType; 2]| Row {
            op,
            name: "all",
            shape: &[65536],
            types,
            layouts: plain,
            fill: Fill::Bits { start: 0, step: 1 },
            data: DataClass::Bits,
            quick: types[0] == types[1],
        };
        for dtype in [DType::F16, DType::BF16] {
            add(sink, base([dtype; 2]))?;
            add(sink, base([dtype, DType::F32]))?;
        }
        for (i, start) in [0u32, 1_234_567, 3_000_000_001].into_iter().enumerate() {
            let fill = Fill::Bits { start, step: 4095 + 2 * i as u32 };
            let name = pick(&["spread", "spread_1", "spread_2"], i);
            add(sink, Row { name, shape: &[1 << 20], fill, quick: false, ..base([DType::F32; 2]) })?;
        }
        let coarse = Fill::Bits { start: 99, step: 0x0004_0001 };
        add(sink, Row { name: "coarse", shape: &[16384], fill: coarse, ..base([DType::F32; 2]) })?;
        for (i, shape) in shapes.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + t + k;
                let types = if turn % 4 == 3 { [dtype, pick(&FLOATS, i)] } else { [dtype; 2] };
                let scale = pick(&[1.0, 8.0, 0.01], turn);
                add(
                    sink,
                    Row {
                        op,
                        name: "shape",
                        shape,
                        types,
                        layouts: pick(&layouts, turn),
                        fill: domain(op, Fill::normal(scale)),
                        data: DataClass::Normal,
                        quick: t == i % 3 && (i + k) % 3 == 0,
                    },
                )?;
            }
        }
        for dtype in FLOATS {
            let f32 = dtype == DType::F32;
            let far = |scale| Row {
                name: "far",
                shape: &[1000],
                fill: domain(op, Fill::normal(scale)),
                data: DataClass::Adversarial("far"),
                quick: f32,
                ..base([dtype; 2])
            };
            add(sink, far(4000.0))?;
            let data = DataClass::Adversarial("tiny");
            add(sink, Row { name: "tiny", fill: Fill::Cycle(tiny()), data, ..far(1.0) })?;
            if is_decided(&Op::Unary(op)) {
                continue;
            }
            let data = DataClass::Adversarial("nonfinite");
            let special = Fill::Cycle(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0]);
            Draft::new(Op::Unary(op), "special", format!("dtype={dtype}"), data)
                .input(Layout::Plain.desc(dtype, &[9])?, special)
                .output(Layout::Plain.desc(dtype, &[9])?)
                .informative()
                .quick_if(f32)
                .add(sink)?;
        }
    }
    Ok(())
}
