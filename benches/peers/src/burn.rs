//! burn on wgpu, with its autotuning and fusion as they are by default.
//!
//! Each result is flushed while it is alive: fusion drops writes of tensors that nobody holds, and
//! a result that is never written would cost nothing.

use anyhow::{Result, bail, ensure};
use burn_tensor::activation::{silu, softmax};
use burn_tensor::module::layer_norm;
use burn_tensor::{Device, DeviceKind, Tensor, TensorData};
use unisono::DType;

use crate::data::{Data, EPS};
use crate::measure::{Entry, Runner};
use crate::row::{Function, Norm, Row, Work};

type Call = Box<dyn Fn() -> Tensor<2>>;

struct Burn {
    device: Device,
    call: Call,
    last: Option<Tensor<2>>,
}

impl Runner for Burn {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            let y = (self.call)();
            self.device.flush()?;
            self.last = Some(y);
        }
        Ok(self.device.sync()?)
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(last) = &self.last else { return Ok(None) };
        Ok(Some(last.to_data().iter::<f32>().collect()))
    }
}

/// burn in the rows for adapters, on the adapter that Unisono's `device` is.
pub(crate) fn prepare(row: &Row, data: &Data, device: &unisono::Device) -> Result<Entry> {
    let info = device.info();
    let kind = match info.kind {
        unisono::DeviceKind::Cpu => DeviceKind::Cpu,
        _ => DeviceKind::DefaultDevice,
    };
    let device = Device::wgpu(kind);
    let found = device.identity().map(|i| i.name).unwrap_or_default();
    ensure!(found == info.name, "burn opens the adapter {found}, Unisono {}", info.name);
    let tensor = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
    };
    let row_of =
        |values: &[f32]| -> Tensor<1> { Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device) };
    let call: Call = match row.work {
        Work::Product { dtype: DType::F32, m, n, k } => {
            let weight: Vec<f32> = bytemuck::pod_collect_to_vec(&data.weight);
            let (x, weight) = (tensor(&data.x, [m, k]), tensor(&weight, [n, k]));
            Box::new(move || x.clone().matmul(weight.clone().transpose()))
        }
        Work::Norm { norm: Norm::Softmax, shape: [a, b, c] } => {
            let x = tensor(&data.x, [a * b, c]);
            Box::new(move || softmax(x.clone(), 1))
        }
        Work::Norm { norm: Norm::Layer, shape: [a, b, c] } => {
            let x = tensor(&data.x, [a * b, c]);
            let (factor, bias) = (row_of(&data.factor), row_of(&data.bias));
            Box::new(move || layer_norm(x.clone(), factor.clone(), Some(bias.clone()), f64::from(EPS)))
        }
        Work::Function { function: Function::Silu, rows, cols } => {
            let x = tensor(&data.x, [rows, cols]);
            Box::new(move || silu(x.clone()))
        }
        _ => bail!("{} is not measured with burn", row.id),
    };
    ensure!(!row.cold, "{}: burn's weights do not rotate", row.id);
    device.sync()?;
    Ok(Entry::new("burn", "wgpu", Burn { device, call, last: None }))
}
