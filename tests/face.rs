//! The `Device` and `Tensor` handles: what engine authors rely on, on a backend that hides nothing.

use std::sync::Arc;

use unisono_core::op::{Activation, BinaryOp};
use unisono_core::{AttentionOptions, DType, Device, ErrorKind, Tensor, TensorDesc};
use unisono_tests::naive::Naive;

fn device() -> Device {
    Device::new(Arc::new(Naive::default()))
}

fn iota(device: &Device, shape: &[usize]) -> Tensor {
    let data: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
    device.tensor(&data, shape).unwrap()
}

#[test]
fn nothing_runs_until_a_result_is_read() {
    let device = device();
    let x = iota(&device, &[4]);
    let y = x.add(&x).unwrap().mul(&x).unwrap();
    assert_eq!(device.counters().submissions, 0);
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 2.0, 8.0, 18.0]);
    assert_eq!(device.counters().submissions, 1, "one program for both operations");
    assert_eq!(y.to_vec::<f32>().unwrap()[3], 18.0);
    assert_eq!(device.counters().submissions, 1, "a second read runs nothing");
}

#[test]
fn a_result_that_nobody_holds_is_not_computed() {
    let device = device();
    let x = iota(&device, &[4]);
    drop(x.silu().unwrap());
    let y = x.add(&x).unwrap();
    device.flush().unwrap();
    assert_eq!(device.counters().dispatches, 1, "only the addition");
    assert_eq!(y.to_vec::<f32>().unwrap()[1], 2.0);
}

#[test]
fn an_intermediate_that_is_held_stays_readable() {
    let device = device();
    let x = iota(&device, &[4]);
    let doubled = x.add(&x).unwrap();
    let squared = doubled.mul(&doubled).unwrap();
    assert_eq!(squared.to_vec::<f32>().unwrap(), [0.0, 4.0, 16.0, 36.0]);
    assert_eq!(doubled.to_vec::<f32>().unwrap(), [0.0, 2.0, 4.0, 6.0]);
}

#[test]
fn the_same_program_is_compiled_once() {
    let device = device();
    for _ in 0..3 {
        iota(&device, &[4]).silu().unwrap().to_vec::<f32>().unwrap();
    }
    assert_eq!(device.counters().plans, 1);
    iota(&device, &[5]).silu().unwrap().to_vec::<f32>().unwrap();
    assert_eq!(device.counters().plans, 2);
}

#[test]
fn views_compute_like_the_copies_they_stand_for() {
    let device = device();
    let x = iota(&device, &[2, 3, 4]);
    let view = x.slice(1, 1..3).unwrap().permute(&[2, 0, 1]).unwrap();
    assert_eq!(view.shape(), [4, 2, 2]);
    let expected = [4.0, 8.0, 16.0, 20.0, 5.0, 9.0, 17.0, 21.0, 6.0, 10.0, 18.0, 22.0, 7.0, 11.0, 19.0, 23.0];
    assert_eq!(view.to_vec::<f32>().unwrap(), expected);
    assert_eq!(view.reshape(&[4, 4]).unwrap().to_vec::<f32>().unwrap(), expected, "reshape copies where it must");
    let row = iota(&device, &[4]);
    let sum = x.add(&row).unwrap();
    assert_eq!(sum.to_vec::<f32>().unwrap()[21], 21.0 + 1.0);
    assert!(x.slice(1, 2..4).is_err());
    assert!(x.squeeze(0).is_err());
    assert_eq!(x.unsqueeze(0).unwrap().squeeze(0).unwrap().shape(), [2, 3, 4]);
}

#[test]
fn a_write_from_the_host_comes_after_what_was_recorded() {
    let device = device();
    let x = iota(&device, &[2]);
    let y = x.add(&x).unwrap();
    x.write(&[10.0f32, 20.0]).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 2.0]);
    assert_eq!(x.to_vec::<f32>().unwrap(), [10.0, 20.0]);
    assert!(x.write(&[1.0f32]).is_err());
    assert!(x.write(&[1u32, 2]).is_err());
}

#[test]
fn a_captured_step_updates_state_and_takes_new_inputs() {
    let device = device();
    let cache = device.zeros(DType::F32, &[3, 2]).unwrap();
    let scale = iota(&device, &[2]).add(&device.tensor(&[1.0f32], &[1]).unwrap()).unwrap();
    let inputs =
        [TensorDesc::contiguous(DType::F32, &[1, 2]).unwrap(), TensorDesc::contiguous(DType::U32, &[1]).unwrap()];
    let step = device
        .capture(&inputs, |inputs| {
            cache.scatter_rows_(&inputs[1], &inputs[0].mul(&scale)?)?;
            // The sum uses no input, and still belongs to the step.
            Ok(vec![cache.sum(0)?, inputs[0].clone()])
        })
        .unwrap();
    assert_eq!(cache.to_vec::<f32>().unwrap(), [0.0; 6], "a capture runs nothing");
    let plans = device.counters().plans;
    let mut sums = Vec::new();
    for row in 0..3u32 {
        let x = device.tensor(&[row as f32, 1.0], &[1, 2]).unwrap();
        let outputs = step.run(&[&x, &device.tensor(&[row], &[1]).unwrap()]).unwrap();
        sums.push(outputs[0].to_vec::<f32>().unwrap());
        assert_eq!(outputs[1].to_vec::<f32>().unwrap(), [row as f32, 1.0], "an input can be an output");
    }
    assert_eq!(sums, [[0.0, 2.0], [1.0, 4.0], [3.0, 6.0]]);
    assert_eq!(cache.to_vec::<f32>().unwrap(), [0.0, 2.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(device.counters().plans, plans, "replays compile nothing");

    let wrong = device.tensor(&[1.0f32; 3], &[1, 3]).unwrap();
    let index = device.tensor(&[0u32], &[1]).unwrap();
    assert!(step.run(&[&wrong, &index]).unwrap_err().to_string().contains("f32[1, 3]"));
    assert!(step.run(&[&wrong]).is_err());
}

#[test]
fn a_capture_cannot_be_read_from_inside_or_leak() {
    let device = device();
    let desc = TensorDesc::contiguous(DType::F32, &[2]).unwrap();
    let read = device.capture(&[desc], |x| x[0].silu()?.to_vec::<f32>().map(|_| Vec::new()));
    assert!(read.unwrap_err().to_string().contains("during a capture"));
    let mut leaked = None;
    let leak = device.capture(&[desc], |x| {
        leaked = Some(x[0].silu()?);
        Ok(vec![x[0].add(&x[0])?])
    });
    assert!(leak.unwrap_err().to_string().contains("not returned"));
    assert!(leaked.unwrap().to_vec::<f32>().is_err());
    let nested = device.capture(&[desc], |_| device.capture(&[desc], |x| Ok(x.to_vec())).map(|_| Vec::new()));
    assert!(nested.is_err());
    let write = device.capture(&[desc], |x| x[0].write(&[1.0f32, 2.0]).map(|()| Vec::new()));
    assert!(write.is_err());
    // Nothing of this is left behind: the device records eagerly again.
    assert_eq!(iota(&device, &[2]).add(&iota(&device, &[2])).unwrap().to_vec::<f32>().unwrap(), [0.0, 2.0]);
}

#[test]
fn composites_equal_their_parts() {
    let device = device();
    let (x, w) = (iota(&device, &[2, 3]), iota(&device, &[4, 3]));
    let (bias, residual) = (iota(&device, &[4]), iota(&device, &[2, 4]));
    let fused = x.linear_t(&w, Some(&bias), Activation::Silu, Some(&residual)).unwrap();
    let parts = x.matmul_t(&w).unwrap().add(&bias).unwrap().silu().unwrap().add(&residual).unwrap();
    assert_eq!(fused.to_vec::<f32>().unwrap(), parts.to_vec::<f32>().unwrap());

    let (sum, y) = residual.add_rms_norm(&residual, &bias, 1e-5).unwrap();
    let twice = residual.add(&residual).unwrap();
    assert_eq!(sum.to_vec::<f32>().unwrap(), twice.to_vec::<f32>().unwrap());
    assert_eq!(y.to_vec::<f32>().unwrap(), twice.rms_norm(&bias, 1e-5).unwrap().to_vec::<f32>().unwrap());
}

#[test]
fn causal_attention_equals_limits() {
    let device = device();
    let q = iota(&device, &[1, 4, 3, 2]).mul(&device.tensor(&[0.1f32], &[1]).unwrap()).unwrap();
    let kv = iota(&device, &[1, 2, 5, 2]);
    let limits = device.tensor(&[3u32, 4, 5], &[1, 3]).unwrap();
    let options = AttentionOptions { causal: true, ..Default::default() };
    let causal = q.attention(&kv, &kv, options).unwrap().to_vec::<f32>().unwrap();
    let options = AttentionOptions { limits: Some(&limits), ..Default::default() };
    assert_eq!(causal, q.attention(&kv, &kv, options).unwrap().to_vec::<f32>().unwrap());
    let all = q.attention(&kv, &kv, AttentionOptions::default()).unwrap().to_vec::<f32>().unwrap();
    assert_ne!(causal, all);
    assert_eq!(causal[4..6], all[4..6], "the last query sees every key");
    let both = AttentionOptions { causal: true, limits: Some(&limits), ..Default::default() };
    assert!(q.attention(&kv, &kv, both).is_err());
}

#[test]
fn errors_name_operation_shapes_dtypes_and_device() {
    let device = device();
    let (x, y) = (iota(&device, &[2, 3]), iota(&device, &[2, 4]));
    for error in [x.matmul(&y).unwrap_err(), x.binary(BinaryOp::Add, &y).unwrap_err()] {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(
            text.contains("f32[2, 3]") && text.contains("f32[2, 4]") && text.contains("Naive host backend"),
            "{text}"
        );
    }
    let ids = device.tensor(&[1u32, 2], &[2]).unwrap();
    let text = ids.silu().unwrap_err().to_string();
    assert!(text.starts_with("silu:") && text.contains("u32[2]") && text.contains("Naive"), "{text}");
    assert_eq!(ids.to_vec::<f32>().unwrap_err().kind(), ErrorKind::DType);
    let text = device.tensor(&[1.0f32; 3], &[2, 2]).unwrap_err().to_string();
    assert!(text.contains("12 bytes") && text.contains("f32[2, 2]"), "{text}");
    assert!(x.attention(&x, &x, AttentionOptions::default()).is_err());
    assert!(x.max(5).is_err());
    let other = iota(&Device::new(Arc::new(Naive::default())), &[2, 3]);
    assert!(x.add(&other).unwrap_err().to_string().contains("different devices"));
}

#[test]
fn empty_tensors_are_tensors() {
    let device = device();
    let none = device.tensor::<f32>(&[], &[0, 3]).unwrap();
    let w = iota(&device, &[4, 3]);
    assert_eq!(none.matmul_t(&w).unwrap().to_vec::<f32>().unwrap(), []);
    assert_eq!(none.sum(0).unwrap().to_vec::<f32>().unwrap(), [0.0; 3]);
    let text = none.max(0).unwrap_err().to_string();
    assert!(text.contains("max") && text.contains("zero size"), "{text}");
    let thin = iota(&device, &[2, 0]);
    assert_eq!(thin.matmul(&iota(&device, &[0, 3])).unwrap().to_vec::<f32>().unwrap(), [0.0; 6]);
}

#[test]
fn many_recorded_steps_flush_by_themselves() {
    let device = device();
    let one = device.tensor(&[1.0f32], &[1]).unwrap();
    let mut x = device.tensor(&[0.0f32], &[1]).unwrap();
    for _ in 0..1000 {
        x = x.add(&one).unwrap();
    }
    assert!(device.counters().submissions >= 3);
    assert_eq!(x.to_vec::<f32>().unwrap(), [1000.0]);
}
