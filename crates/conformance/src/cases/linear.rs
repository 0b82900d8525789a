//! Linear layers: each epilogue on shapes of decode and prefill.

use unisono_core::op::{Activation, Linear, Op};
use unisono_core::{DType, Result};

use super::matmul::{LAYOUTS, MIXED, fills};
use super::{Draft, FLOATS, Layout, Sink, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const SHAPES: [[usize; 3]; 12] = [
    [1, 64, 65],
    [1, 256, 128],
    [4, 33, 129],
    [17, 31, 33],
    [33, 64, 32],
    [65, 48, 63],
    [1, 1, 1],
    [3, 0, 5],
    [0, 3, 5],
    [2, 515, 64],
    [64, 128, 130],
    [8, 100, 257],
];

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let epilogues = [(true, false), (false, false), (true, true), (false, true)];
    let data = [DataClass::Normal, DataClass::Exact, DataClass::Wide];
    for (i, [m, k, n]) in SHAPES.into_iter().enumerate() {
        for (a, activation) in Activation::ALL.into_iter().enumerate() {
            for (e, (bias, residual)) in epilogues.into_iter().enumerate() {
                let turn = i + a + e;
                let same = pick(&FLOATS, turn);
                let [ta, tb, ty] = if turn % 4 == 3 { pick(&MIXED, i + e) } else { [same; 3] };
                let data = pick(&data, i + a + 2 * e);
                let (layout, [la, lb, ly]) = LAYOUTS[(i + 2 * e) % if i % 2 == 0 { 1 } else { LAYOUTS.len() }];
                let op = Linear { bias, activation, residual };
                let params = format!(
                    "dtype={},m={m},k={k},n={n},act={},bias={},residual={},layout={layout}",
                    types(&[ta, tb, ty]),
                    activation.name(),
                    u8::from(bias),
                    u8::from(residual),
                );
                let [fa, fb] = fills(data, [ta, tb, ty], 2);
                let vector = if data == DataClass::Exact { Fill::Integers { max: 8 } } else { Fill::NORMAL };
                let mut draft = Draft::new(Op::Linear(op), "epilogue", params, data)
                    .input(la.desc(ta, &[m, k])?, fa)
                    .input(lb.desc(tb, &[k, n])?, fb);
                if bias {
                    draft =
                        draft.input(Layout::Plain.desc(if e == 0 { DType::F32 } else { tb }, &[n])?, vector.clone());
                }
                if residual {
                    draft = draft.input(ly.desc(ta, &[m, n])?, vector);
                }
                draft.output(ly.desc(ty, &[m, n])?).quick_if((a + e) % 4 == i % 4).add(sink)?;
            }
        }
    }
    // A residual whose strides are not those of the output.
    let strides = [
        (Layout::Transposed, Layout::Plain),
        (Layout::Plain, Layout::Gap(3)),
        (Layout::Gap(1), Layout::Transposed),
        (Layout::SharedRow, Layout::Plain),
    ];
    for (i, (lr, ly)) in strides.into_iter().enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            for (s, [m, k, n]) in [[1, 64, 65], [5, 9, 33], [33, 64, 40]].into_iter().enumerate() {
                let turn = i + t + s;
                let activation = pick(&Activation::ALL, turn);
                let op = Linear { bias: turn % 2 == 0, activation, residual: true };
                let data = pick(&[DataClass::Exact, DataClass::Normal], turn);
                let params = format!(
                    "dtype={dtype},m={m},k={k},n={n},act={},bias={},residual={},layout={}",
                    activation.name(),
                    u8::from(op.bias),
                    lr.name(),
                    ly.name(),
                );
                let [fa, fb] = fills(data, [dtype; 3], 2);
                let vector = if data == DataClass::Exact { Fill::Integers { max: 8 } } else { Fill::NORMAL };
                let mut draft = Draft::new(Op::Linear(op), "residual", params, data)
                    .input(Layout::Plain.desc(dtype, &[m, k])?, fa)
                    .input(Layout::Transposed.desc(dtype, &[k, n])?, fb);
                if op.bias {
                    draft = draft.input(Layout::Plain.desc(dtype, &[n])?, vector.clone());
                }
                draft
                    .input(lr.desc(dtype, &[m, n])?, vector)
                    .output(ly.desc(dtype, &[m, n])?)
                    .quick_if(s == i % 3 && dtype == DType::F32)
                    .add(sink)?;
            }
        }
    }
    // Pre-activations far from zero, where tanh through sinh and cosh overflows.
    for dtype in FLOATS {
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
            let data = DataClass::Adversarial("far");
            let op = Linear { bias: true, activation, residual: false };
            let params = format!("dtype={dtype},m=5,k=9,n=33,act={},bias=1,residual=0,layout=nt", activation.name());
            Draft::new(Op::Linear(op), "epilogue", params, data)
                .input(Layout::Plain.desc(dtype, &[5, 9])?, Fill::normal(3.0))
                .input(Layout::Transposed.desc(dtype, &[9, 33])?, Fill::normal(30.0))
                .input(Layout::Plain.desc(dtype, &[33])?, Fill::normal(1e4))
                .output(Layout::Plain.desc(dtype, &[5, 33])?)
                .quick_if(dtype == DType::F32)
                .add(sink)?;
        }
    }
    Ok(())
}
