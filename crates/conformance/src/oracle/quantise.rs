//! How far a quantised number may lie from the original, per format.
//!
//! A device may round a quotient either way, so two correct devices differ in a code here and
//! there, and bytes cannot be compared. What must hold is the distance of the decoded value; the
//! bounds follow from the rules of `docs/quantisation.md` and are derived in `docs/numerics.md`.

use unisono_core::{DType, TensorDesc};

use crate::data::{E2M1, e8m0};

/// Largest error of rounding a scale of size `d` to f16, to nearest.
fn f16_error(d: f64) -> f64 {
    // A little more than half a unit, for the f32 arithmetic before it.
    (d.abs() / 2048.0).max(1.0 / 33_554_432.0) * 1.01
}

/// What f32 arithmetic on numbers up to `size` may add.
fn slack(size: f64) -> f64 {
    size / 1_048_576.0
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |a, x| a.max(x.abs()))
}

/// The bound of each element of `values`, the elements of `desc` in logical order, when they are
/// stored as blocks of `dtype` along dimension `axis`.
pub(super) fn bounds(dtype: DType, desc: &TensorDesc, axis: usize, values: &[f64]) -> Vec<f64> {
    let block = dtype.block_elements();
    // Distance between neighbours of a block in logical order.
    let step: usize = desc.shape[axis + 1..].iter().product();
    let mut result = vec![0.0; values.len()];
    for start in (0..values.len()).filter(|i| (i / step).is_multiple_of(block)) {
        let at = |i: usize| start + i * step;
        let x: Vec<f64> = (0..block).map(|i| values[at(i)]).collect();
        for (i, bound) in block_bounds(dtype, &x).into_iter().enumerate() {
            result[at(i)] = bound;
        }
    }
    result
}

fn block_bounds(dtype: DType, x: &[f64]) -> Vec<f64> {
    let grouped = |group: usize, bound: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        x.chunks(group).flat_map(|g| std::iter::repeat_n(bound(g), g.len())).collect()
    };
    match dtype {
        DType::Q4_0 => signed(x, 8.0),
        DType::Q5_0 => signed(x, 16.0),
        DType::Q4_1 => between(x, 15.0),
        DType::Q5_1 => between(x, 31.0),
        DType::Q8_0 => {
            let d = largest(x) / 127.0;
            vec![d / 2.0 + 127.0 * f16_error(d) + slack(largest(x)); x.len()]
        }
        DType::Mxfp4 => shared_exponent(x),
        DType::Q4K => with_minimum(x, 32, 15.0, 63.0, &grouped),
        DType::Q5K => with_minimum(x, 32, 31.0, 63.0, &grouped),
        DType::Q2K => with_minimum(x, 16, 3.0, 15.0, &grouped),
        DType::Q6K => around_zero(x, 16, 31.0, 127.0, &grouped),
        DType::Q3K => around_zero(x, 16, 3.0, 31.0, &grouped),
        // Numbers never become one of the others.
        _ => vec![0.0; x.len()],
    }
}

/// q4_0 and q5_0: codes from −levels to levels − 1, the largest element at −levels.
fn signed(x: &[f64], levels: f64) -> Vec<f64> {
    let largest = largest(x);
    let v = x.iter().copied().find(|v| v.abs() == largest).unwrap_or(0.0);
    let d = -v / levels;
    let bound = |&x: &f64| {
        let beyond = if d == 0.0 { 0.0 } else { x / d - (levels - 1.0) };
        d.abs() * beyond.max(0.5) + levels * f16_error(d) + slack(largest)
    };
    x.iter().map(bound).collect()
}

/// q4_1 and q5_1: steps from the smallest element to the largest.
fn between(x: &[f64], levels: f64) -> Vec<f64> {
    let m = x.iter().copied().fold(f64::INFINITY, f64::min);
    let d = (x.iter().copied().fold(f64::NEG_INFINITY, f64::max) - m) / levels;
    vec![d / 2.0 + levels * f16_error(d) + f16_error(m) + slack(largest(x)); x.len()]
}

/// mxfp4: the distance to the nearest number.
fn shared_exponent(x: &[f64]) -> Vec<f64> {
    let largest = largest(x);
    // The exponent of an f64 is exact; a zero has the lowest.
    let exponent = (largest.to_bits() >> 52) as i32 - 1023;
    let scale = e8m0((exponent + 125).clamp(0, 254) as u8);
    let bound = |x: &f64| {
        let distance = |e: f64| (x.abs() - scale * e).abs();
        E2M1.into_iter().map(distance).fold(f64::INFINITY, f64::min) + slack(x.abs())
    };
    x.iter().map(bound).collect()
}

type PerGroup<'a> = dyn Fn(usize, &dyn Fn(&[f64]) -> f64) -> Vec<f64> + 'a;

/// The error where a group's step is up to `b + d/2` and its codes end up to `codes·d/2` below the
/// largest element.
fn step_error(b: f64, d: f64, codes: f64, scales: f64) -> f64 {
    let half_step = (b + d / 2.0 + f16_error(b)) / 2.0;
    let missing = codes * (d / 2.0 + f16_error(d) + b / 2048.0 + scales * f16_error(0.0));
    half_step.max(missing)
}

/// q4_k, q5_k and q2_k.
fn with_minimum(x: &[f64], group: usize, codes: f64, scales: f64, grouped: &PerGroup<'_>) -> Vec<f64> {
    let low = |g: &[f64]| g.iter().fold(0.0f64, |a, x| a.max(-x));
    let high = |g: &[f64]| g.iter().fold(f64::NEG_INFINITY, |a, &x| a.max(x));
    let dmin = x.chunks(group).map(low).fold(0.0, f64::max) / scales;
    // The stored minimum may miss the smallest element by half a step of dmin.
    let off = |g: &[f64]| dmin / 2.0 + low(g) / 2048.0 + scales * f16_error(dmin);
    let step = |g: &[f64]| (high(g) + low(g) + off(g)).max(0.0) / codes;
    let d = x.chunks(group).map(step).fold(0.0, f64::max) / scales;
    grouped(group, &|g| step_error(step(g), d, codes, scales).max(off(g)) + slack(largest(x)))
}

/// q6_k and q3_k.
fn around_zero(x: &[f64], group: usize, codes: f64, scales: f64, grouped: &PerGroup<'_>) -> Vec<f64> {
    let d = largest(x) / codes / scales;
    grouped(group, &|g| step_error(largest(g) / codes, d, codes, scales) + slack(largest(x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_about_half_a_step() {
        let x: Vec<f64> = (0..256).map(|i| (f64::from(i * 37 % 256) - 127.0) / 127.0).collect();
        for (dtype, half_step) in [
            (DType::Q4_0, 1.0 / 16.0),
            (DType::Q4_1, 1.0 / 15.0),
            (DType::Q5_0, 1.0 / 32.0),
            (DType::Q5_1, 1.0 / 31.0),
            (DType::Q8_0, 0.5 / 127.0),
            (DType::Q4K, 1.0 / 15.0),
            (DType::Q5K, 1.0 / 31.0),
            (DType::Q2K, 1.0 / 3.0),
            (DType::Q6K, 0.5 / 31.0),
            (DType::Q3K, 0.5 / 3.0),
        ] {
            let desc = TensorDesc::contiguous(DType::F32, &[256]).unwrap();
            let bounds = bounds(dtype, &desc, 0, &x);
            let typical = bounds[100];
            assert!(typical > 0.8 * half_step && typical < 1.4 * half_step, "{dtype}: {typical} for {half_step}");
        }
    }

    #[test]
    fn blocks_along_any_axis() {
        let desc = TensorDesc::contiguous(DType::F32, &[2, 32, 3]).unwrap();
        let mut values = vec![0.0; 192];
        values[96 + 3 * 7 + 2] = 127.0;
        let bounds = bounds(DType::Q8_0, &desc, 1, &values);
        for (i, bound) in bounds.iter().enumerate() {
            assert_eq!(*bound > 0.4, i >= 96 && i % 3 == 2, "{i}: {bound}");
        }
    }
}
