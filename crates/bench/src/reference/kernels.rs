//! The reference kernels on a device.

use std::sync::Arc;
use std::time::Duration;

use unisono_core::{Backend, Bindings, DType, KernelChoice, Op, OpDesc, Plan, Result, TensorDesc};

use super::Beat;
use crate::cases::Item;
use crate::cold::Bound;
use crate::data::Patterns;
use crate::timing::{Rotation, Runs};

/// The least length of one measurement.
const LEAST: Duration = Duration::from_micros(1500);

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
