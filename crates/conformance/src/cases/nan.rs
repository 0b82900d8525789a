//! NaN and infinities where they have one answer: operations that compare, choose or move. NaNs have
//! either sign and payloads of their own, and stand first, in the middle, last, alone and in company.
//!
//! These cases are counted: a NaN can be seen in its bits, whatever a driver does with floats. What
//! arithmetic makes of it is in the informative cases of each family, but for one thing that counts
//! here: it stays in its own row.

use unisono_core::op::{
    ArgOp, ArgReduce, ArgSort, BinaryOp, Clamp, CompareOp, LayerNorm, Op, Real, Reduce, ReduceOp, RmsNorm, Softmax,
    TopK, UnaryOp,
};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::{Fill, encode};

const NAN: DataClass = DataClass::Adversarial("nan");

const UNARY: [UnaryOp; 7] =
    [UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Sign, UnaryOp::Relu, UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Round];

const BINARY: [BinaryOp; 3] = [BinaryOp::Minimum, BinaryOp::Maximum, BinaryOp::Rem];

/// Whether the contract says what becomes of NaN and ∞, so that no informative case asks.
pub(super) fn is_decided(op: &Op) -> bool {
    match op {
        Op::Unary(op) => UNARY.contains(op),
        Op::Binary(op) => BINARY.contains(op),
        Op::Reduce(op) => op.op.selects(),
        Op::ArgReduce(_) => true,
        _ => false,
    }
}

/// NaNs as bits: of both signs, quiet, signalling with the least payload, and with every bit set.
fn nans(dtype: DType) -> [u32; 6] {
    match dtype {
        DType::F16 => [0x7e00, 0xfe00, 0x7c01, 0xfc01, 0x7fff, 0xffff],
        DType::BF16 => [0x7fc0, 0xffc0, 0x7f81, 0xff81, 0x7fff, 0xffff],
        _ => [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff],
    }
}

fn bits(dtype: DType, value: f64) -> u32 {
    encode(dtype, value) as u32
}

/// The NaNs, and numbers that stand next to them in some order of bits.
fn specials(dtype: DType) -> Vec<u32> {
    let numbers = [f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.75, -3.0, 6.2e-5, 1e30, -1e30];
    nans(dtype).into_iter().chain(numbers.map(|x| bits(dtype, x))).collect()
}

/// How many rows [`row`] describes.
const ROWS: usize = 9;

/// Element `j` of `n` in row `r`: each row has its NaNs elsewhere, or infinities alone.
fn row(dtype: DType, r: usize, j: usize, n: usize) -> u32 {
    let nan = match r {
        0 => j == 0,
        1 => j == n / 2,
        2 => j == n - 1,
        3 => j == n / 3 || j == n - 1 - n / 4,
        4 => true,
        8 => j % 3 == 1,
        _ => false,
    };
    let value = match r {
        5 if j == n / 3 => f64::INFINITY,
        5 if j == n / 2 => f64::NEG_INFINITY,
        6 => f64::NEG_INFINITY,
        7 => f64::INFINITY,
        8 if j == 0 => f64::INFINITY,
        8 if j == 2 => f64::NEG_INFINITY,
        _ => ((j * 37 + r * 11) % 41) as f64 * 0.25 - 5.0,
    };
    if nan { pick(&nans(dtype), r + j) } else { bits(dtype, value) }
}

/// The rows of [`row`], along the last dimension or the first.
fn rows(dtype: DType, n: usize, last: bool) -> ([usize; 2], Fill) {
    let shape = if last { [ROWS, n] } else { [n, ROWS] };
    let element = |i: usize| {
        let (a, b) = (i / shape[1], i % shape[1]);
        if last { row(dtype, a, b, n) } else { row(dtype, b, a, n) }
    };
    (shape, Fill::Words((0..ROWS * n).map(element).collect()))
}

/// Reductions, indices and sorts, in rows as long as one workgroup takes, longer ones, and ones that
/// are cut into parts.
fn order(sink: Sink<'_>) -> Result<()> {
    const LENGTHS: [usize; 5] = [1, 37, 300, 1100, 4099];
    let found = [ReduceOp::Max, ReduceOp::Min].map(|op| Op::Reduce(Reduce { op, axis: 1 }));
    let index = ArgOp::ALL.map(|op| Op::ArgReduce(ArgReduce { op, axis: 1 }));
    let tops = [false, true].map(|smallest| Op::TopK(TopK { k: 1, smallest }));
    let sorts = [true, false].map(|descending| Op::ArgSort(ArgSort { descending }));
    for (k, op) in found.into_iter().chain(index).chain(tops).chain(sorts).enumerate() {
        for (i, n) in LENGTHS.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let quick = match &op {
                    Op::Reduce(_) | Op::ArgReduce(_) => (i == 1 && t == 0) || (i == 3 && t == 1 + k % 2),
                    _ => (i == 1 && t == k % 3) || (i == 4 && t == 0 && k % 2 == 0),
                };
                let last = i != 2 || !matches!(op, Op::Reduce(_) | Op::ArgReduce(_));
                let (shape, fill) = rows(dtype, n, last);
                let axis = usize::from(last);
                let params = format!("dtype={dtype},shape={}", dims(&shape));
                let plain = |dtype, shape: &[usize]| Layout::Plain.desc(dtype, shape);
                let reduced = if last { [ROWS, 1] } else { [1, ROWS] };
                let draft = |op, params: String| -> Result<Draft> {
                    Ok(Draft::new(op, "nan", params, NAN).input(plain(dtype, &shape)?, fill))
                };
                match &op {
                    Op::Reduce(op) => {
                        let to = if n == 300 { DType::F32 } else { dtype };
                        let params = format!("dtype={},shape={},axis={axis}", types(&[dtype, to]), dims(&shape));
                        draft(Op::Reduce(Reduce { axis, ..*op }), params)?.output(plain(to, &reduced)?)
                    }
                    Op::ArgReduce(op) => {
                        let op = Op::ArgReduce(ArgReduce { axis, ..*op });
                        draft(op, format!("{params},axis={axis}"))?.output(plain(DType::U32, &reduced)?)
                    }
                    Op::TopK(op) => {
                        let kept = pick(&[5, n, 40], i + t).min(n);
                        let end = if op.smallest { "smallest" } else { "largest" };
                        draft(Op::TopK(TopK { k: kept, ..*op }), format!("{params},k={kept},{end}"))?
                            .output(plain(dtype, &[ROWS, kept])?)
                            .output(plain(DType::U32, &[ROWS, kept])?)
                    }
                    Op::ArgSort(sort) => {
                        let order = if sort.descending { "descending" } else { "ascending" };
                        draft(op.clone(), format!("{params},{order}"))?.output(plain(DType::U32, &shape)?)
                    }
                    _ => continue,
                }
                .quick_if(quick)
                .add(sink)?;
            }
        }
    }
    Ok(())
}

/// Functions of one element.
fn single(sink: Sink<'_>) -> Result<()> {
    let limits = [(-1.0, 2.0), (f32::NEG_INFINITY, 0.5), (-0.25, f32::INFINITY), (f32::NEG_INFINITY, f32::INFINITY)];
    let clamps =
        limits.map(|(min, max)| (Op::Clamp(Clamp { min: Real(min), max: Real(max) }), format!(",limits={min}_{max}")));
    let unary = UNARY.map(|op| (Op::Unary(op), String::new()));
    for (k, (op, more)) in unary.into_iter().chain(clamps).enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            let words = specials(dtype);
            for layout in [Layout::Plain, Layout::Skip] {
                let shape = [7, words.len()];
                let params = format!("dtype={dtype},layout={}{more}", layout.name());
                Draft::new(op.clone(), "nan", params, NAN)
                    .input(layout.desc(dtype, &shape)?, Fill::Words(words.clone()))
                    .output(Layout::Plain.desc(dtype, &shape)?)
                    .quick_if(layout == Layout::Plain && (t == 0 && k < 9 || t == 1 + k % 2 && k.is_multiple_of(4)))
                    .add(sink)?;
            }
        }
    }
    Ok(())
}

/// Functions of two elements: each special value meets each.
fn pairs(sink: Sink<'_>) -> Result<()> {
    let compared = CompareOp::ALL.map(Op::Compare);
    for (k, op) in BINARY.map(Op::Binary).into_iter().chain(compared).chain([Op::Where]).enumerate() {
        let mixed = [[DType::F16, DType::F32], [DType::F32, DType::BF16]];
        for (t, [a, b]) in FLOATS.map(|d| [d; 2]).into_iter().chain(mixed).enumerate() {
            let (left, right) = (specials(a), specials(b));
            let shape = [left.len(), right.len()];
            let first: Vec<u32> = left.iter().flat_map(|&w| vec![w; right.len()]).collect();
            let to = if matches!(op, Op::Compare(_)) { DType::Bool } else { b };
            let mut draft = Draft::new(op.clone(), "nan", format!("dtype={}", types(&[a, b])), NAN).dtype(a);
            if op == Op::Where {
                draft = draft.input(Layout::Plain.desc(DType::Bool, &shape)?, Fill::Indices { rows: 2 });
            }
            draft
                .input(Layout::Plain.desc(a, &shape)?, Fill::Words(first))
                .input(Layout::SharedRow.desc(b, &shape)?, Fill::Words(right))
                .output(Layout::Plain.desc(to, &shape)?)
                .quick_if(t == 0 && k < 5 || t == 1 + k % 2 && k < 3)
                .add(sink)?;
        }
    }
    Ok(())
}

/// Casts: a NaN stays one, or becomes 0 or true.
fn casts(sink: Sink<'_>) -> Result<()> {
    for (i, from) in FLOATS.into_iter().enumerate() {
        for (j, to) in DType::PLAIN.into_iter().enumerate() {
            let words = specials(from);
            Draft::new(Op::Copy, "nan", format!("dtype={from}_{to}"), NAN)
                .input(Layout::Plain.desc(from, &[3, words.len()])?, Fill::Words(words.clone()))
                .output(Layout::Plain.desc(to, &[3, words.len()])?)
                .quick_if([(0, 1), (0, 2), (1, 0), (0, 3)].contains(&(i, j)))
                .add(sink)?;
        }
    }
    Ok(())
}

/// A row with a NaN between rows without one: those are what they are alone.
fn apart(sink: Sink<'_>) -> Result<()> {
    let eps = Real(1e-5);
    let ops = [
        Op::Softmax(Softmax::new(1.0)),
        Op::Softmax(Softmax { log: true, ..Softmax::new(0.5) }),
        Op::RmsNorm(RmsNorm { eps, weight: false }),
        Op::LayerNorm(LayerNorm { eps, weight: false, bias: false }),
        Op::MatMul,
    ];
    for (k, op) in ops.into_iter().enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            // Of these only rows 9 and 10 have neither NaN nor infinity.
            let list = [9, 0, 10, 4, 9, 5, 10, 1];
            let n = 67;
            let words = list.into_iter().flat_map(|r| (0..n).map(move |j| row(dtype, r, j, n))).collect();
            let shape = [list.len(), n];
            let mut draft = Draft::new(op.clone(), "apart", format!("dtype={dtype},shape={}", dims(&shape)), NAN)
                .input(Layout::Plain.desc(dtype, &shape)?, Fill::Words(words));
            let mut to = shape;
            if op == Op::MatMul {
                to[1] = 19;
                draft = draft.input(Layout::Plain.desc(dtype, &[n, to[1]])?, Fill::Integers { max: 3 });
            }
            draft.output(Layout::Plain.desc(dtype, &to)?).quick_if(t == 0 && k < 4).add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    order(sink)?;
    single(sink)?;
    pairs(sink)?;
    casts(sink)?;
    apart(sink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::decode;

    #[test]
    fn nans_are_nans_and_specials_are_distinct() {
        for dtype in FLOATS {
            let of = |words: &[u32]| -> Vec<f64> {
                let bytes: Vec<u8> =
                    words.iter().flat_map(|w| w.to_le_bytes()[..dtype.block_bytes()].to_vec()).collect();
                decode(dtype, &bytes)
            };
            assert!(of(&nans(dtype)).iter().all(|x| x.is_nan()), "{dtype}");
            let words = specials(dtype);
            let distinct: std::collections::HashSet<u32> = words.iter().copied().collect();
            assert_eq!(distinct.len(), words.len(), "{dtype}");
            let n = 37;
            let rows: Vec<Vec<f64>> =
                (0..ROWS).map(|r| of(&(0..n).map(|j| row(dtype, r, j, n)).collect::<Vec<_>>())).collect();
            let firsts: Vec<Option<usize>> = rows.iter().map(|r| r.iter().position(|x| x.is_nan())).collect();
            assert_eq!(firsts, [Some(0), Some(18), Some(36), Some(12), Some(0), None, None, None, Some(1)], "{dtype}");
        }
    }
}
