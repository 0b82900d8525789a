//! A fixed kernel that is timed again and again between the others, to see whether the machine stays
//! the same: a processor that throttles or a neighbour on the same memory slows it down too.
//!
//! There are two, since either may happen alone: a product of matrices that fit a cache, and a copy
//! that does not. They are always the same operations, whatever is measured.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use unisono_core::{Backend, Bindings, DType, KernelChoice, Op, OpDesc, Plan, Result, TensorDesc};

use crate::cases::Item;
use crate::cold::Bound;
use crate::data::Patterns;
use crate::stats::{median, quantile};
use crate::timing::{Rotation, Runs};

/// How far the reference may stray from its median over the run before a row is flagged.
pub const DRIFT_LIMIT: f64 = 0.10;

/// The least length of one measurement.
const LEAST: Duration = Duration::from_micros(1500);

/// Seconds of one run of the two references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The product of two f32 matrices of 256 × 256.
    pub compute: f64,
    /// The copy of 16 MiB.
    pub memory: f64,
}

/// The references on a device.
pub struct Reference<'a> {
    backend: &'a dyn Backend,
    kernels: Vec<Kernel>,
    beats: Vec<Beat>,
}

struct Kernel {
    plan: Arc<dyn Plan>,
    bindings: Vec<Bindings>,
    batch: usize,
}

impl<'a> Reference<'a> {
    /// Compiles both, and finds how many runs the clock needs.
    pub fn new(backend: &'a dyn Backend, patterns: &mut Patterns) -> Result<Reference<'a>> {
        let square = TensorDesc::contiguous(DType::F32, &[256, 256])?;
        let long = TensorDesc::contiguous(DType::F32, &[4 << 20])?;
        let product = OpDesc::new(Op::MatMul, vec![square, square], vec![square])?;
        let copy = OpDesc::new(Op::Copy, vec![long], vec![long])?;
        let mut kernels = Vec::new();
        for desc in [product, copy] {
            kernels.push(Kernel::new(backend, desc, patterns)?);
        }
        Ok(Reference { backend, kernels, beats: Vec::new() })
    }

    /// Times both once.
    pub fn beat(&mut self) -> Result<()> {
        let mut seconds = [0.0; 2];
        for (kernel, seconds) in self.kernels.iter().zip(&mut seconds) {
            let mut runs = Rotation::new(self.backend, Arc::clone(&kernel.plan), &kernel.bindings);
            let (_, time) = runs.run(kernel.batch)?;
            *seconds = time.as_secs_f64() / kernel.batch as f64;
        }
        self.beats.push(Beat { compute: seconds[0], memory: seconds[1] });
        Ok(())
    }

    /// All measurements so far.
    pub fn beats(&self) -> &[Beat] {
        &self.beats
    }
}

impl Kernel {
    fn new(backend: &dyn Backend, desc: OpDesc, patterns: &mut Patterns) -> Result<Kernel> {
        let inputs = desc.inputs.iter().map(|d| patterns.get(d.dtype, "reference")).collect();
        let item = Item {
            id: "reference".to_owned(),
            set: String::new(),
            shape: String::new(),
            dtype: DType::F32,
            initial: vec![None; desc.outputs.len()],
            desc,
            inputs,
            weights: Vec::new(),
            offsets: Vec::new(),
            case: None,
        };
        let bound = Bound::new(backend, &item, 1)?;
        let plan = bound.compile(KernelChoice::Auto)?;
        let bindings = bound.bindings;
        let mut runs = Rotation::new(backend, Arc::clone(&plan), &bindings);
        runs.run(2)?;
        let mut batch = 1;
        loop {
            let (_, time) = runs.run(batch)?;
            if time >= LEAST || batch >= 1024 {
                return Ok(Kernel { plan, bindings, batch });
            }
            let factor = 1.2 * LEAST.as_secs_f64() / time.as_secs_f64().max(1e-9);
            batch = (batch as f64 * factor.clamp(1.5, 16.0)).ceil() as usize;
        }
    }
}

/// The median of both over `beats`.
pub fn middle(beats: &[Beat]) -> Option<Beat> {
    let of = |f: fn(&Beat) -> f64| median(&beats.iter().map(f).collect::<Vec<f64>>());
    Some(Beat { compute: of(|b| b.compute)?, memory: of(|b| b.memory)? })
}

/// How much slower the slowest fifth of `beats` is at least than the fastest fifth at most, as a
/// ratio: of the reference that varies more.
pub fn spread(beats: &[Beat]) -> Option<f64> {
    let of = |f: fn(&Beat) -> f64| {
        let mut seconds: Vec<f64> = beats.iter().map(f).collect();
        seconds.sort_by(f64::total_cmp);
        Some(quantile(&seconds, 0.8)? / quantile(&seconds, 0.2)?)
    };
    Some(of(|b| b.compute)?.max(of(|b| b.memory)?)).filter(|s| s.is_finite())
}

/// How far the references were from `usual` during a row: the one that strayed further, as a ratio
/// (1.2: a fifth slower).
pub fn drift(during: &[Beat], usual: Beat) -> Option<f64> {
    let now = middle(during)?;
    let ratios = [now.compute / usual.compute, now.memory / usual.memory];
    ratios.into_iter().filter(|r| r.is_finite() && *r > 0.0).max_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()))
}

/// Whether so much drift makes a row doubtful.
pub fn strays(drift: f64) -> bool {
    drift.ln().abs() > DRIFT_LIMIT.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_that_of_the_reference_that_strayed_further() {
        let beat = |compute, memory| Beat { compute, memory };
        let usual = beat(1.0, 2.0);
        assert_eq!(drift(&[beat(1.0, 2.0)], usual), Some(1.0));
        assert_eq!(drift(&[beat(1.05, 3.0), beat(1.05, 3.0)], usual), Some(1.5));
        assert_eq!(drift(&[beat(0.5, 2.2)], usual), Some(0.5));
        assert_eq!(drift(&[], usual), None);
        let beats: Vec<Beat> = (0..6).map(|i| beat(1.0, 1.0 + 0.1 * f64::from(i))).collect();
        assert!((spread(&beats).unwrap() - 1.4 / 1.1).abs() < 1e-12 && spread(&[]).is_none());
        assert!(strays(1.11) && !strays(1.09) && strays(0.90) && !strays(0.92));
    }
}
