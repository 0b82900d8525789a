//! Matrix units, measured on a device of their own.
//!
//! wgpu calls them experimental, and a driver's fault there must not reach results. So the device that
//! computes never asks for them: the first probe opens the same adapter a second time, with them, and
//! everything that it builds stays there.

use std::sync::{Arc, Mutex};

use unisono_core::{DType, ProbeKind, ProbeRun, Result};

use crate::adapter::AdapterSummary;
use crate::backend::WgpuBackend;
use crate::device::lock;
use crate::options::WgpuOptions;

/// What a second device needs to be opened, where the adapter has matrix units.
#[derive(Debug, Default)]
pub(crate) struct MatrixUnits {
    second: Option<(wgpu::Adapter, AdapterSummary, WgpuOptions)>,
    shapes: Vec<wgpu::CooperativeMatrixProperties>,
    device: Mutex<Option<Arc<WgpuBackend>>>,
}

impl MatrixUnits {
    /// Of `adapter`, if it has any and `options` allow optional features.
    pub(crate) fn of(adapter: &wgpu::Adapter, summary: &AdapterSummary, options: &WgpuOptions) -> MatrixUnits {
        let shapes = adapter.cooperative_matrix_properties();
        let exist = adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        if !exist || shapes.is_empty() || options.default_limits || options.matrix_units {
            return MatrixUnits::default();
        }
        let options = WgpuOptions { matrix_units: true, disk_cache: false, ..options.clone() };
        MatrixUnits { second: Some((adapter.clone(), summary.clone(), options)), shapes, device: Mutex::default() }
    }

    /// The device with matrix units, opened once.
    fn device(&self) -> Result<Option<Arc<WgpuBackend>>> {
        let Some((adapter, summary, options)) = &self.second else { return Ok(None) };
        let mut device = lock(&self.device);
        if device.is_none() {
            *device = Some(pollster::block_on(WgpuBackend::new(adapter, summary, options))?);
        }
        Ok(device.clone())
    }

    /// Runs the probe for elements of this type; `None` where the adapter has no such units.
    pub(crate) fn run(&self, dtype: DType, rounds: u32) -> Result<Option<ProbeRun>> {
        if !Shape::of(dtype).is_some_and(|shape| shape.is_among(&self.shapes)) {
            return Ok(None);
        }
        match self.device()? {
            Some(device) => device.best_of(ProbeKind::Matrix(dtype), rounds),
            None => Ok(None),
        }
    }
}

/// What a shader multiplies: square matrices, whose sums are in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) shader: &'static str,
    side: u32,
    factors: wgpu::CooperativeScalarType,
}

impl Shape {
    /// The shader for factors of this type, if there is one.
    pub(super) fn of(dtype: DType) -> Option<Shape> {
        use wgpu::CooperativeScalarType::{F16, F32};
        match dtype {
            DType::F32 => Some(Shape { shader: "probe_matrix", side: 8, factors: F32 }),
            DType::F16 => Some(Shape { shader: "probe_matrix_f16", side: 16, factors: F16 }),
            _ => None,
        }
    }

    /// Operations of one product.
    pub(super) fn operations(self) -> f64 {
        2.0 * f64::from(self.side).powi(3)
    }

    fn is_among(self, shapes: &[wgpu::CooperativeMatrixProperties]) -> bool {
        shapes.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [self.side; 3]
                && p.ab_type == self.factors
                && p.cr_type == wgpu::CooperativeScalarType::F32
        })
    }
}

#[cfg(test)]
mod tests {
    use wgpu::CooperativeScalarType::{F16, F32};

    use super::*;

    #[test]
    fn a_shader_needs_units_of_its_shape_and_types() {
        let units = |side, ab_type, cr_type| wgpu::CooperativeMatrixProperties {
            m_size: side,
            n_size: side,
            k_size: side,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let [single, half] = [DType::F32, DType::F16].map(|dtype| Shape::of(dtype).unwrap());
        assert!(Shape::of(DType::I8).is_none());
        assert_eq!([single, half].map(Shape::operations), [1024.0, 8192.0]);
        assert!(single.is_among(&[units(16, F16, F32), units(8, F32, F32)]));
        assert!(half.is_among(&[units(16, F16, F32)]));
        for others in [units(8, F16, F32), units(16, F16, F16), units(16, F32, F32)] {
            assert!(!single.is_among(&[others]) && !half.is_among(&[others]), "{others:?}");
        }
    }

    #[test]
    fn every_shape_has_a_shader_that_says_what_it_needs() {
        for shape in [DType::F32, DType::F16].map(|dtype| Shape::of(dtype).unwrap()) {
            let variant = unisono_shaders::variant(shape.shader).unwrap();
            assert!(variant.requires.matrix_units && variant.requires.subgroups, "{shape:?}");
            assert_eq!(variant.requires.f16, shape.factors == F16, "{shape:?}");
        }
    }
}
