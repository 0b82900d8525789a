//! What is not finite is an error, wherever a result leaves the engine. Weights that are damaged, or
//! values that the cache's element type cannot hold, would otherwise go on as the first token of the
//! vocabulary for ever.
//!
//! Where only tokens are read, the device adds up the logits of each row, made small first so that no
//! sum of finite ones overflows: the sum is finite if and only if all of them are. It travels in the
//! same read as the token.

use unisono_core::{DType, Device, Error, Result, Tensor};

use crate::model::Model;

/// Logits are multiplied by it before they are added: rows have at most 2²⁰ of them, below 2¹²⁸.
const SMALL: f32 = 1.0 / (1u64 << 30) as f32;
const _: () = assert!(f32::MAX * SMALL * ((1u64 << 20) as f32) < f32::MAX);

/// The most likely token of each row of logits `[rows, vocab]`, and the sum that shows whether all
/// logits of the row are finite: f32 `[rows, 2]`. Numbers of tokens are exact in f32.
pub(crate) fn best_and_sum(logits: &Tensor) -> Result<Tensor> {
    let best = logits.argmax(1)?.cast(DType::F32)?;
    Tensor::concat(&[&best, &logits.scale_shift(SMALL, 0.0)?.sum(1)?], 1)
}

/// The token of a row of [`best_and_sum`], as read; `None` if a logit was not finite.
pub(crate) fn token(row: [f32; 2]) -> Option<u32> {
    row[1].is_finite().then_some(row[0] as u32)
}

/// Fails where a value that was read from `device` is not finite. `what` says what the values are.
pub(crate) fn check_floats(device: &Device, what: &str, values: &[f32]) -> Result<()> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::invalid(format!("{what} on {} are not finite: one is {value}", device.info().name))),
        None => Ok(()),
    }
}

/// Fails where results of a model are not finite.
pub(crate) fn check(model: &Model, what: &str, values: &[f32]) -> Result<()> {
    check_floats(model.device(), what, values).map_err(|e| Error::invalid(format!("{}{}", e.message(), advice(model))))
}

/// The error of logits that the device found not to be finite.
pub(crate) fn error(model: &Model, what: &str) -> Error {
    let device = &model.device().info().name;
    Error::invalid(format!("{what} on {device} are not finite{}", advice(model)))
}

/// What helps, where the cache may be the cause.
fn advice(model: &Model) -> &'static str {
    match model.cache_dtype() {
        DType::F16 => ". The key-value cache is f16, which holds values up to 65504: try f32 or bf16",
        DType::Q8_0 => ". The key-value cache is q8_0, whose scales are f16: try f32 or bf16",
        _ => "",
    }
}
