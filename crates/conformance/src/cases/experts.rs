//! Mixture of experts: rows that meet the matrix their id names, with ids out of range, experts that
//! nobody chooses and experts that everybody does.

use unisono_core::op::Op;
use unisono_core::{DType, Result, TensorDesc};

use super::blocks::{activations, blocks, gapped};
use super::{Draft, FLOATS, Layout, Sink, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

/// Tokens, experts per token, experts, k, n.
const SHAPES: [[usize; 5]; 12] = [
    [1, 2, 8, 256, 33],
    [1, 1, 1, 512, 7],
    [5, 2, 4, 256, 65],
    [33, 4, 6, 256, 17],
    [64, 1, 3, 256, 40],
    [7, 3, 60, 256, 31],
    [70, 2, 2, 256, 64],
    [2, 8, 8, 768, 5],
    [3, 0, 4, 256, 5],
    [3, 2, 0, 256, 5],
    [6, 2, 3, 512, 300],
    [40, 2, 3, 256, 135],
];

/// Weights in floats and in blocks; those of the quick level first.
const WEIGHTS: [DType; 10] = [
    DType::F32,
    DType::Q8_0,
    DType::F16,
    DType::Q4K,
    DType::BF16,
    DType::Q4_0,
    DType::Mxfp4,
    DType::Q6K,
    DType::Q5_1,
    DType::Iq4Xs,
];

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    for (i, [tokens, used, experts, k, n]) in SHAPES.into_iter().enumerate() {
        for (w, weight) in WEIGHTS.into_iter().enumerate() {
            let turn = i + w;
            let (ta, ty) = pick(&[(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::BF16, DType::F32)], turn);
            let data = pick(&[DataClass::Exact, DataClass::Normal], turn);
            // One row for all experts of a token, or one for each.
            let shared = turn % 2 == 0;
            let a = if shared {
                TensorDesc::contiguous(ta, &[tokens, 1, k])?.broadcast_to(&[tokens, used, k])?
            } else {
                Layout::Gap(if turn % 3 == 0 { 3 } else { 0 }).desc(ta, &[tokens, used, k])?
            };
            // Stored by rows only where it is no block format.
            let by_rows = !weight.is_block() && turn % 4 == 3;
            let b = if by_rows {
                Layout::Plain.desc(weight, &[experts, k, n])?
            } else {
                gapped(weight, &[experts, n, k], usize::from(turn % 3 == 1))?.transposed(1, 2)?
            };
            let index = pick(&[DType::U32, DType::I32], turn);
            let ids = match turn % 3 {
                0 => Fill::StrayIndices { rows: experts },
                // Everybody chooses the same one.
                1 if experts > 0 => Fill::constant((experts - 1) as f64),
                _ => Fill::Indices { rows: experts },
            };
            let params = format!(
                "dtype={},tokens={tokens},used={used},experts={experts},k={k},n={n},shared={},layout={}",
                types(&[ta, weight, ty]),
                u8::from(shared),
                if by_rows { "nn" } else { "nt" },
            );
            let fill = if weight.is_block() { blocks(data) } else { activations(data) };
            Draft::new(Op::MatMulId, "experts", params, data)
                .input(a, activations(data))
                .input(b, fill)
                .input(pick(&[Layout::Plain, Layout::Transposed], turn).desc(index, &[tokens, used])?, ids)
                .output(Layout::Gap(turn % 2).desc(ty, &[tokens, used, n])?)
                .dtype(weight)
                .quick_if(w < 5 && w == i % 5 || i == 0 && matches!(w, 1 | 5) || i == 2 && w == 6)
                .add(sink)?;
        }
    }
    // Any k where no block asks for a multiple.
    for (i, [tokens, used, experts, k, n]) in
        [[4, 2, 3, 7, 9], [9, 2, 3, 33, 65], [5, 2, 3, 0, 4], [4, 1, 5, 1, 1]].into_iter().enumerate()
    {
        let dtype = pick(&FLOATS, i);
        let params = format!("dtype={dtype},tokens={tokens},used={used},experts={experts},k={k},n={n}");
        Draft::new(Op::MatMulId, "odd", params, DataClass::Exact)
            .input(Layout::Plain.desc(dtype, &[tokens, used, k])?, Fill::Integers { max: 8 })
            .input(Layout::Transposed.desc(dtype, &[experts, k, n])?, Fill::Integers { max: 8 })
            .input(Layout::Plain.desc(DType::U32, &[tokens, used])?, Fill::StrayIndices { rows: experts })
            .output(Layout::Plain.desc(DType::F32, &[tokens, used, n])?)
            .quick_if(i == 1 || i == 2)
            .add(sink)?;
    }
    Ok(())
}
