//! What benchmarks share: the devices they run on and captured operations to time.
//!
//! An operation is captured once and replayed into the same tensors, so a measurement sees the
//! kernel and one submission, not recording or compilation.

use unisono::{Captured, DType, Device, Result, Tensor, TensorDesc};

/// The devices to measure: those named in `UNISONO_BENCH_DEVICES` (comma separated), else all.
pub fn devices() -> Result<Vec<Device>> {
    let all = unisono::devices();
    let Ok(names) = std::env::var("UNISONO_BENCH_DEVICES") else {
        return all.iter().map(unisono::DeviceSummary::open).collect();
    };
    let mut chosen = Vec::new();
    for name in names.split(',') {
        chosen.extend(unisono::matching(&all, name.trim())?);
    }
    chosen.iter().map(unisono::DeviceSummary::open).collect()
}

/// A contiguous tensor of small varied numbers.
pub fn data(device: &Device, dtype: DType, shape: &[usize]) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect();
    device.tensor(&values, shape)?.cast(dtype)?.contiguous()
}

/// An operation that was captured with its operands bound.
pub struct Timed {
    captured: Captured,
    input: Tensor,
    output: Tensor,
}

impl Timed {
    /// Captures `step` over `input`.
    pub fn new(input: Tensor, step: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Timed> {
        let device = input.device().clone();
        let desc = TensorDesc::contiguous(input.dtype(), input.shape())?;
        let mut shape = (DType::F32, Vec::new());
        let captured = device.capture(&[desc], |inputs| {
            let result = step(&inputs[0])?;
            shape = (result.dtype(), result.shape().to_vec());
            Ok(vec![result])
        })?;
        let output = device.empty(shape.0, &shape.1)?;
        Ok(Timed { captured, input, output })
    }

    /// Runs it `iterations` times and waits for the last one.
    pub fn run(&self, iterations: u64) -> Result<()> {
        for _ in 0..iterations {
            self.captured.run_into(&[&self.input], &[&self.output])?;
        }
        // Reading one element waits for everything before it.
        let first = self.output.reshape(&[self.output.desc().elements()])?.slice(0, 0..1)?;
        first.read().wait().map(drop)
    }
}
