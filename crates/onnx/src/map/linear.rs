//! Products and convolutions.

use unisono_core::op::{Activation, Conv1d, Conv2d, UnaryOp};
use unisono_core::{DType, Tensor};

use crate::call::{Call, Outcome, f32, wide};
use crate::error::Stop;

/// A product by NumPy's rules: a vector on the left is a row, on the right a column.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor, Stop> {
    let (row, column) = (a.shape().len() == 1, b.shape().len() == 1);
    let a = if row { a.unsqueeze(0)? } else { a.clone() };
    let b = if column { b.unsqueeze(1)? } else { b.clone() };
    let mut y = a.matmul(&b)?;
    if column {
        y = y.squeeze(y.shape().len() - 1)?;
    }
    if row {
        y = y.squeeze(y.shape().len() - if column { 1 } else { 2 })?;
    }
    Ok(y)
}

pub(super) fn matmul(call: &Call<'_>) -> Outcome {
    Ok(vec![product(call.x(0)?, call.x(1)?)?])
}

/// `alpha·a·b + beta·c`; a bias of one number per column is the contract's composite.
pub(super) fn gemm(call: &Call<'_>) -> Outcome {
    let side = |i: usize, flag: &str| {
        let x = call.x(i)?;
        if x.shape().len() != 2 {
            return Err(call.malformed(format!("input {i} is no matrix")));
        }
        Ok(if call.int(flag, 0) == 0 { x.clone() } else { x.transpose(0, 1)? })
    };
    let (a, b) = (side(0, "transA")?, side(1, "transB")?);
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let columns = b.shape()[1];
    if let Some(c) = call.opt(2).filter(|c| alpha == 1.0 && beta == 1.0 && c.desc().elements() == columns) {
        let row = c.shape().last() == Some(&columns);
        if row {
            let bias = c.reshape(&[columns])?;
            return Ok(vec![a.linear(&b, Some(&bias), Activation::None, None)?]);
        }
    }
    let scaled = |x: &Tensor, by: f32| if by == 1.0 { Ok(x.clone()) } else { x.scale_shift(by, 0.0) };
    let mut y = scaled(&f32(&a)?.matmul(&b)?, alpha)?;
    if let Some(c) = call.opt(2) {
        y = y.add(&scaled(&f32(c)?, beta)?)?;
    }
    Ok(vec![y.cast(call.x(0)?.dtype())?])
}

/// Bytes without their zero point, as `i32`.
pub(super) fn centred(x: &Tensor, zero: Option<&Tensor>, rows: bool) -> Result<Tensor, Stop> {
    let x = wide(x)?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = wide(zero)?;
    // One zero point per row of the left operand stands in a vector.
    let zero = if rows && zero.shape().len() == 1 { zero.unsqueeze(1)? } else { zero };
    Ok(x.sub(&zero)?)
}

/// Sums of `k` products of centred bytes, as `i32`. Products and their sums are exact in f32 up to 2²⁴,
/// which longer sums leave; then the left operand is cut into digits so small that they do not, and
/// the sums of the digits are joined as integers.
pub(super) fn integer_sums(
    call: &Call<'_>,
    x: &Tensor,
    k: usize,
    sums: impl Fn(&Tensor) -> Result<Tensor, Stop>,
) -> Result<Tensor, Stop> {
    const EXACT: usize = 1 << 24;
    const LARGEST: usize = 255;
    let mut rest = x.cast(DType::F32)?;
    let fits = |size: usize| k.checked_mul(size * LARGEST).is_some_and(|sum| sum <= EXACT);
    if fits(LARGEST) {
        return Ok(sums(&rest)?.cast(DType::I32)?);
    }
    let bits = (1..8).rev().find(|&bits| fits((1 << bits) - 1));
    let bits = bits.ok_or_else(|| call.unmapped(format!("a sum of {k} products")))?;
    // With the sign there are nine bits; the last digit has it.
    let digits = 9usize.div_ceil(bits);
    let unit = (1u32 << bits) as f32;
    let mut total = None;
    for digit in 0..digits {
        let above = rest.scale_shift(1.0 / unit, 0.0)?.unary(UnaryOp::Floor)?;
        let low = if digit + 1 < digits { rest.sub(&above.scale_shift(unit, 0.0)?)? } else { rest };
        let weight = call.full(DType::I32, &[], 1i64 << (bits * digit))?;
        let part = sums(&low)?.cast(DType::I32)?.mul(&weight)?;
        total = Some(match total {
            None => part,
            Some(total) => part.add(&total)?,
        });
        rest = above;
    }
    total.ok_or_else(|| call.malformed("it has no digits"))
}

pub(super) fn matmul_integer(call: &Call<'_>) -> Outcome {
    let a = centred(call.x(0)?, call.opt(2), true)?;
    let b = centred(call.x(1)?, call.opt(3), false)?.cast(DType::F32)?;
    let k = a.shape().last().copied().unwrap_or(1);
    Ok(vec![integer_sums(call, &a, k, |a| product(a, &b))?])
}

pub(super) fn conv_integer(call: &Call<'_>) -> Outcome {
    let x = centred(call.x(0)?, call.opt(2), false)?;
    // One zero point per output channel stands in a vector.
    let columns = |z: &Tensor| z.reshape(&[z.desc().elements(), 1, 1, 1]);
    let zero = call.opt(3).map(columns).transpose()?;
    let w = centred(call.x(1)?, zero.as_ref(), false)?.cast(DType::F32)?;
    let k = w.shape().iter().skip(1).product();
    Ok(vec![integer_sums(call, &x, k, |x| convolve(call, x, &w, None))?])
}

pub(super) fn conv(call: &Call<'_>) -> Outcome {
    Ok(vec![convolve(call, call.x(0)?, call.x(1)?, call.opt(2))?])
}

/// Padding that the contract has no word for, different on the two sides, becomes a border before.
fn convolve(call: &Call<'_>, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, Stop> {
    let spatial = x.shape().len().saturating_sub(2);
    if !matches!(spatial, 1 | 2) || weight.shape().len() != x.shape().len() {
        return Err(call.unmapped(format!("a convolution over {spatial} dimensions")));
    }
    let sizes = |name: &str| {
        let list = call.list(name).map_or_else(|| vec![1; spatial], <[i64]>::to_vec);
        call.shape(&list).map(|mut list| {
            list.resize(spatial, 1);
            list
        })
    };
    let (stride, dilation) = (sizes("strides")?, sizes("dilations")?);
    let groups = call.shape(&[call.int("group", 1)])?[0];
    let mut before = vec![0; spatial];
    let mut after = vec![0; spatial];
    let automatic = call.text("auto_pad", "NOTSET");
    for d in 0..spatial {
        let extent = weight.shape()[d + 2].saturating_sub(1).saturating_mul(dilation[d]) + 1;
        let size = x.shape()[d + 2];
        match &automatic[..] {
            "NOTSET" => {
                let pads = call.list("pads").map_or_else(|| vec![0; 2 * spatial], <[i64]>::to_vec);
                let pads = call.shape(&pads.iter().map(|p| p.saturating_add(1)).collect::<Vec<_>>())?;
                let at = |i: usize| pads.get(i).map_or(0, |p| p - 1);
                (before[d], after[d]) = (at(d), at(spatial + d));
            }
            "SAME_UPPER" | "SAME_LOWER" => {
                let windows = size.div_ceil(stride[d].max(1));
                let total = (windows.saturating_sub(1) * stride[d] + extent).saturating_sub(size);
                let small = total / 2;
                (before[d], after[d]) =
                    if automatic == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
            }
            "VALID" => {}
            other => return Err(call.unmapped(format!("auto_pad {other}"))),
        }
    }
    let mut padding = before.clone();
    let mut input = x.clone();
    if before != after {
        let border = |sizes: &[usize]| [&[0, 0], sizes].concat();
        input = x.pad(&border(&before), &border(&after), 0.0)?;
        padding.fill(0);
    }
    let bias_given = bias.is_some();
    Ok(if spatial == 1 {
        let op = Conv1d { stride: stride[0], padding: padding[0], dilation: dilation[0], groups, bias: bias_given };
        input.conv1d(weight, bias, op)?
    } else {
        let pair = |list: &[usize]| [list[0], list[1]];
        let (stride, padding, dilation) = (pair(&stride), pair(&padding), pair(&dilation));
        input.conv2d(weight, bias, Conv2d { stride, padding, dilation, groups, bias: bias_given })?
    })
}

/// A depthwise convolution over the past and the present, which becomes the next past.
pub(super) fn causal_conv(call: &Call<'_>) -> Outcome {
    let (x, weight) = (call.x(0)?, call.x(1)?);
    let (&[batch, channels, _], &[_, _, k]) = (x.shape(), weight.shape()) else {
        return Err(call.malformed("x or weight has no three dimensions"));
    };
    let past = match call.opt(3) {
        Some(past) => past.clone(),
        None => call.full(x.dtype(), &[batch, channels, k.saturating_sub(1)], 0.0)?,
    };
    let padded = Tensor::concat(&[&past, x], 2)?;
    let op = Conv1d { stride: 1, padding: 0, dilation: 1, groups: channels, bias: false };
    let mut y = padded.conv1d(weight, call.opt(2), op)?;
    match &call.text("activation", "none")[..] {
        "none" => {}
        "silu" | "swish" => y = y.unary(UnaryOp::Silu)?,
        other => return Err(call.unmapped(format!("the activation {other}"))),
    }
    let length = padded.shape()[2];
    let state = padded.slice(2, length - past.shape()[2].min(length)..length)?.copy()?;
    Ok(vec![y, state])
}
