//! Random weights of a named shape run, whatever their element type.

use unisono_core::{DType, Device, ErrorKind};
use unisono_models::{Model, ModelOptions, Shape};

#[test]
fn every_type_of_weights_gives_finite_logits() {
    let device = Device::new(unisono_cpu::CpuBackend::new().unwrap());
    let small =
        Shape { hidden: 256, layers: 2, heads: 4, kv_heads: 2, intermediate: 512, vocab: 300, ..Shape::all()[0] };
    for dtype in [DType::F32, DType::F16, DType::BF16].into_iter().chain(DType::BLOCKS) {
        let source = small.random_source(dtype, 7).unwrap();
        let model = Model::load(&device, &source, &ModelOptions::default()).unwrap();
        assert_eq!(model.parameters(), small.parameters(), "{dtype}");
        let mut session = model.session().unwrap();
        let logits = session.prefill(&[1, 2, 3, 299]).unwrap();
        let spread = logits.iter().fold(0f32, |m, z| m.max(z.abs()));
        assert!(logits.iter().all(|z| z.is_finite()) && spread > 1e-3, "{dtype}: {spread}");
    }
}

#[test]
fn types_that_do_not_fit_are_refused() {
    let odd = Shape { hidden: 96, ..Shape::all()[0] };
    let error = odd.random_source(DType::Q4K, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert!(error.to_string().contains("blocks do not divide its rows"), "{error}");
    assert_eq!(odd.random_source(DType::Bool, 1).unwrap_err().kind(), ErrorKind::DType);
}
