//! The two comparisons: with the official output by ONNX's tolerance, and with the oracle by the
//! bound that the suite derives.

use std::collections::BTreeMap;

use unisono_conformance::{Expected, check, decode, read_integers};
use unisono_core::DType;

use crate::error::Result;
use crate::oracle::Estimate;
use crate::value::Value;

/// ONNX's relative tolerance for every node test.
const RTOL: f64 = 1e-3;
/// Its relative tolerance for bfloat16: two units in the last place.
const RTOL_BF16: f64 = 1.0 / 64.0;
/// Its absolute tolerance.
const ATOL: f64 = 1e-7;

/// The first element that is outside ONNX's tolerance, in words; none where all agree. Integers and
/// truth values must be equal. As in ONNX's own runner two NaNs agree, and infinities must be equal.
pub(crate) fn official(wanted: &Value, bytes: &[u8]) -> Result<Option<String>> {
    let desc = wanted.desc()?;
    if let Some(integers) = read_integers(&desc, &wanted.bytes) {
        let computed = read_integers(&desc, bytes).unwrap_or_default();
        let at = (0..integers.len()).find(|&i| computed.get(i) != Some(&integers[i]));
        return Ok(at.map(|i| {
            let count = (0..integers.len()).filter(|&i| computed.get(i) != Some(&integers[i])).count();
            let (total, official) = (integers.len(), integers[i]);
            format!(
                "{count} of {total} elements differ, the first is {i}: official {official}, computed {:?}",
                computed.get(i)
            )
        }));
    }
    let (official, computed) = (decode(wanted.dtype, &wanted.bytes), decode(wanted.dtype, bytes));
    let rtol = if wanted.dtype == DType::BF16 { RTOL_BF16 } else { RTOL };
    let agrees = |i: usize| {
        let (a, b) = (official[i], computed.get(i).copied().unwrap_or(f64::NAN));
        a == b || (a.is_nan() && b.is_nan()) || (a.is_finite() && (b - a).abs() <= ATOL + rtol * a.abs())
    };
    let wrong: Vec<usize> = (0..official.len()).filter(|&i| !agrees(i)).collect();
    let excess = |&i: &usize| {
        let error =
            (computed.get(i).copied().unwrap_or(f64::NAN) - official[i]).abs() / (ATOL + rtol * official[i].abs());
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let worst = wrong.iter().max_by(|a, b| excess(a).total_cmp(&excess(b)));
    Ok(worst.map(|&i| {
        let (count, total) = (wrong.len(), official.len());
        format!(
            "{count} of {total} elements are outside the tolerance, the worst is {i}: official {:e}, computed {:e}",
            official[i],
            computed.get(i).copied().unwrap_or(f64::NAN)
        )
    }))
}

/// A result of the oracle.
#[derive(Clone, Debug)]
pub(crate) struct OracleOutput {
    pub(crate) value: Value,
    pub(crate) estimates: BTreeMap<u64, Estimate>,
}

impl OracleOutput {
    /// What a device must give: none where several inexact operations made an element.
    pub(crate) fn expected(&self) -> Option<Expected> {
        let size = self.value.dtype.block_bytes() as u64;
        let mut values = decode(self.value.dtype, &self.value.bytes);
        let mut bounds = vec![0.0; values.len()];
        for (at, estimate) in &self.estimates {
            let Estimate::Bounded { value, bound } = *estimate else { return None };
            let i = (at / size) as usize;
            (values[i], bounds[i]) = (value, bound);
        }
        let flush_below = match self.value.dtype {
            DType::F16 => f64::from(half::f16::MIN_POSITIVE),
            _ => f64::from(f32::MIN_POSITIVE),
        };
        let integers = match self.value.dtype {
            DType::I64 => read_integers(&self.value.desc().ok()?, &self.value.bytes),
            _ => None,
        };
        Some(Expected { quality: bounds.clone(), values, bounds, flush_below, signed_zero: false, integers })
    }
}

/// The largest error/bound of a device's output against the oracle's, and what is over the bound.
pub(crate) fn bounded(expected: &Expected, value: &Value, bytes: &[u8]) -> Result<(f64, Option<String>)> {
    let outcome = check(expected, &value.desc()?, bytes);
    if outcome.passed() {
        return Ok((outcome.worst_ratio, None));
    }
    let place = outcome.worst.map_or_else(String::new, |w| {
        format!(", for instance {}: oracle {:e}, computed {:e}, bound {:e}", w.index, w.expected, w.actual, w.bound)
    });
    let text = format!("{} of {} elements are over the oracle's bound{place}", outcome.failures, outcome.elements);
    Ok((outcome.worst_ratio, Some(text)))
}

/// Whether every element of `output` is as close to the oracle's as twice the spread of `trials`.
/// A trial that is NaN where the oracle is not met something about which nothing is guaranteed.
pub(crate) fn within_spread(output: &Value, oracle: &Value, trials: &[&Value]) -> bool {
    if output.dtype != oracle.dtype || output.shape != oracle.shape {
        return false;
    }
    let [computed, centre] = [output, oracle].map(|v| decode(v.dtype, &v.bytes));
    let trials: Vec<Vec<f64>> = trials.iter().map(|v| decode(v.dtype, &v.bytes)).collect();
    centre.iter().enumerate().all(|(i, &centre)| {
        let deviation = (computed[i] - centre).abs();
        let mut spread = trials.iter().map(|t| (t[i] - centre).abs());
        let same = computed[i] == centre || (computed[i].is_nan() && centre.is_nan());
        same || spread.any(|s| s.is_nan() || deviation <= 2.0 * s)
    })
}
