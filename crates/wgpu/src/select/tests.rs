//! Selection for devices that are not at hand: every operation gets launches that the device
//! accepts, at any offset, below every limit.

use unisono_core::op::*;
use unisono_core::{DType, KernelChoice, Op, OpDesc, Operand, SlotId, Step, TensorDesc};
use unisono_shaders::PARAMETER_BYTES;

use super::{candidates, recipe};
use crate::caps::Caps;
use crate::launch::{Launch, Recipe, Source};
use crate::profile::Profile;

/// The limits that every WebGPU device has, without optional features.
pub(super) fn default_limits() -> Caps {
    Caps {
        max_storage_buffer_binding_size: 128 << 20,
        max_compute_workgroups_per_dimension: 65535,
        max_compute_invocations_per_workgroup: 256,
        max_compute_workgroup_storage_size: 16384,
        max_storage_buffers_per_shader_stage: 8,
        min_storage_buffer_offset_alignment: 256,
        f16: false,
        subgroups: None,
        matrix_units: false,
        loop_rounds: Profile::loop_rounds(true),
        software: true,
        profile: Profile::for_device(0, false, None),
    }
}

fn device(vendor: u32, software: bool, subgroups: (u32, u32), binding: u64, alignment: u32) -> Caps {
    Caps {
        max_storage_buffer_binding_size: binding,
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_storage_size: 32768,
        min_storage_buffer_offset_alignment: alignment,
        f16: true,
        subgroups: Some(subgroups),
        loop_rounds: Profile::loop_rounds(software),
        software,
        profile: Profile::for_device(vendor, software, Some(subgroups)),
        ..default_limits()
    }
}

pub(super) fn devices() -> Vec<Caps> {
    vec![
        default_limits(),
        device(0x10de, false, (32, 32), (2 << 30) - 4, 32),
        device(0x1002, false, (32, 64), (4 << 30) - 4, 32),
        device(0x1002, false, (64, 64), (2 << 30) - 4, 32),
        device(0x8086, false, (8, 32), 1 << 30, 64),
        device(0x8086, false, (16, 32), (2 << 30) - 4, 64),
        device(0x106b, false, (32, 32), 1 << 30, 32),
        device(0x5143, false, (64, 128), 128 << 20, 64),
        device(0x10005, true, (8, 8), 128 << 20, 32),
        device(0x1ae0, true, (4, 4), 128 << 20, 256),
    ]
}

pub(super) fn t(dtype: DType, shape: &[usize]) -> TensorDesc {
    TensorDesc::contiguous(dtype, shape).expect("shape")
}

pub(super) fn op(op: Op, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> OpDesc {
    OpDesc::new(op, inputs.to_vec(), outputs.to_vec()).expect("operation")
}

fn matmul(dtype: DType, m: usize, k: usize, n: usize) -> OpDesc {
    let w = t(dtype, &[n, k]).transposed(0, 1).expect("transposed");
    op(Op::MatMul, &[t(DType::F32, &[m, k]), w], &[t(DType::F32, &[m, n])])
}

/// One of every operation, with this type for every float.
fn every_op(d: DType) -> Vec<OpDesc> {
    let index = t(DType::U32, &[5]);
    let (x, w) = (t(d, &[5, 24]), t(d, &[24]));
    let table = t(DType::F32, &[32, 4]);
    let (q, kv) = (t(d, &[2, 4, 3, 8]), t(d, &[2, 2, 7, 8]));
    let limits = t(DType::U32, &[2, 3]);
    let eps = Real(1e-5);
    let mut ops = vec![
        op(Op::Copy, &[x.transposed(0, 1).expect("transposed")], &[t(DType::F32, &[24, 5])]),
        op(Op::Concat(Concat { axis: 1, inputs: 2 }), &[x, x], &[t(d, &[5, 48])]),
        op(Op::GatherRows, &[t(d, &[9, 24]), index], &[x]),
        op(Op::GatherRows, &[t(d, &[0, 24]), index], &[x]),
        op(Op::ScatterRows, &[x, index], &[t(d, &[9, 24])]),
        op(Op::Reduce(Reduce { op: ReduceOp::Sum, axis: 0 }), &[t(d, &[0, 3])], &[t(d, &[1, 3])]),
        op(Op::ArgReduce(ArgReduce { op: ArgOp::Max, axis: 1 }), &[x], &[t(DType::U32, &[5, 1])]),
        op(Op::RmsNorm(RmsNorm { eps, weight: true }), &[x, w], &[x]),
        op(Op::LayerNorm(LayerNorm { eps, weight: true, bias: true }), &[x, w, w], &[x]),
        op(Op::AddRmsNorm(AddRmsNorm { eps }), &[x, x, w], &[x, x]),
        op(Op::MatMul, &[t(d, &[3, 2, 9, 7]), t(d, &[3, 2, 7, 5])], &[t(d, &[3, 2, 9, 5])]),
        op(Op::MatMul, &[t(d, &[4, 0]), t(d, &[0, 6])], &[t(d, &[4, 6])]),
    ];
    for pairing in [RopePairing::Interleaved, RopePairing::HalfSplit] {
        let x = t(d, &[2, 3, 4, 8]);
        ops.push(op(Op::Rope(Rope { pairing }), &[x, table, table, limits], &[x]));
    }
    ops.extend(UnaryOp::ALL.into_iter().filter(|f| f.takes(d)).map(|f| op(Op::Unary(f), &[x], &[x])));
    ops.extend(Gate::ALL.map(|gate| op(Op::Gated(gate), &[x, x], &[x])));
    let truth = t(DType::Bool, &[5, 24]);
    ops.extend(CompareOp::ALL.map(|f| op(Op::Compare(f), &[x, x], &[truth])));
    ops.push(op(Op::Clamp(Clamp { min: Real(0.0), max: Real(f32::INFINITY) }), &[x], &[x]));
    ops.push(op(Op::ScaleShift(ScaleShift { scale: Real(2.0), shift: Real(1.0) }), &[x], &[x]));
    ops.extend(BinaryOp::ALL.map(|f| op(Op::Binary(f), &[x, w.broadcast_to(&[5, 24]).expect("broadcast")], &[x])));
    for f in ReduceOp::ALL {
        ops.push(op(Op::Reduce(Reduce { op: f, axis: 1 }), &[x], &[t(d, &[5, 1])]));
        ops.push(op(Op::Reduce(Reduce { op: f, axis: 1 }), &[t(d, &[2, 70_001])], &[t(d, &[2, 1])]));
    }
    ops.extend(ordered(d));
    for (mask, limited) in [(false, false), (true, true)] {
        let mut inputs = vec![x];
        inputs.extend(mask.then_some(x));
        inputs.extend(limited.then_some(t(DType::U32, &[5])));
        ops.push(op(Op::Softmax(Softmax { mask, limits: limited, ..Softmax::new(0.5) }), &inputs, &[x]));
    }
    for activation in Activation::ALL {
        let (a, b, y) = (t(d, &[3, 24]), t(d, &[24, 10]), t(d, &[3, 10]));
        let linear = Linear { bias: true, activation, residual: true };
        ops.push(op(Op::Linear(linear), &[a, b, t(d, &[10]), y], &[y]));
    }
    for visibility in [Visibility::All, Visibility::Causal, Visibility::Limits] {
        let attention = Attention { mask: true, ..Attention::new(0.3, visibility) };
        let mut inputs = vec![q, kv, kv, t(d, &[2, 4, 3, 7])];
        inputs.extend((visibility == Visibility::Limits).then_some(limits));
        ops.push(op(Op::Attention(attention), &inputs, &[q]));
    }
    ops
}

/// Running sums, order, groups of channels and windows.
fn ordered(d: DType) -> Vec<OpDesc> {
    let (x, images, w) = (t(d, &[5, 24]), t(d, &[2, 6, 9, 7]), t(d, &[6]));
    let mut ops = vec![
        op(Op::CumSum(CumSum { axis: 0, exclusive: true, reverse: true }), &[x], &[x]),
        op(Op::L2Norm(L2Norm { eps: Real(1e-5) }), &[x], &[x]),
        op(Op::RmsNorm(RmsNorm { eps: Real(1e-5), weight: false }), &[x], &[x]),
        op(Op::LayerNorm(LayerNorm { eps: Real(1e-5), weight: false, bias: true }), &[x, t(d, &[24])], &[x]),
    ];
    for n in [24, 2048, 2049, 128_256] {
        let (x, index) = (t(d, &[2, n]), t(DType::U32, &[2, n]));
        ops.push(op(Op::ArgSort(ArgSort { descending: true }), &[x], &[index]));
        ops.push(op(Op::ArgReduce(ArgReduce { op: ArgOp::Min, axis: 1 }), &[x], &[t(DType::U32, &[2, 1])]));
        for k in [1, 20, n / 2 + 1] {
            let (values, indices) = (t(d, &[2, k]), t(DType::U32, &[2, k]));
            ops.push(op(Op::TopK(TopK { k, smallest: false }), &[x], &[values, indices]));
        }
    }
    for (weight, bias) in [(true, true), (false, true), (false, false)] {
        let norm = GroupNorm { groups: 3, eps: Real(1e-5), weight, bias };
        let vectors = [weight, bias].into_iter().filter(|v| *v).map(|_| w);
        let inputs: Vec<TensorDesc> = std::iter::once(images).chain(vectors).collect();
        ops.push(op(Op::GroupNorm(norm), &inputs, &[images]));
    }
    let conv = Conv2d { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2, bias: true };
    let y = t(d, &[2, 6, 5, 3]);
    ops.push(op(Op::Im2Col(conv.columns([3, 3])), &[images], &[t(d, &[2, 54, 15])]));
    ops.push(op(Op::Conv2d(conv), &[images, t(d, &[6, 3, 3, 3]), w], &[y]));
    let conv = Conv1d { stride: 1, padding: 0, dilation: 1, groups: 1, bias: false };
    ops.push(op(Op::Conv1d(conv), &[t(d, &[2, 4, 9]), t(d, &[3, 4, 2])], &[t(d, &[2, 3, 8])]));
    ops
}

/// A step whose operands each begin `offset` elements into a slot of their own.
pub(super) fn step(desc: &OpDesc, offset: usize) -> Step {
    let mut slot = 0;
    let mut operands = |descs: &[TensorDesc]| {
        let place = |&desc: &TensorDesc| {
            slot += 1;
            Operand { slot: SlotId(slot), offset, desc }
        };
        descs.iter().map(place).collect::<Vec<_>>()
    };
    let inputs = operands(&desc.inputs);
    let outputs = operands(&desc.outputs);
    Step { op: desc.op.clone(), inputs, outputs, kernel: KernelChoice::Auto }
}

pub(super) fn check_launch(launch: &Launch, step: &Step, recipe: &Recipe, caps: &Caps) {
    let name = launch.variant.name;
    assert!(caps.meets(launch.variant.requires), "{name}");
    assert!(launch.variant.workgroup_bytes <= caps.max_compute_workgroup_storage_size, "{name}");
    assert!(launch.groups.iter().all(|g| (1..=caps.max_compute_workgroups_per_dimension).contains(g)), "{name}");
    assert!(launch.params.len() as u64 * 4 <= PARAMETER_BYTES, "{name}: {} words", launch.params.len());
    assert_eq!(launch.bindings.len(), launch.variant.bindings.len(), "{name}");
    for (constant, _) in &launch.constants {
        assert!(launch.variant.constants.contains(constant), "{name} has no constant {constant}");
    }
    for (i, binding) in launch.bindings.iter().enumerate() {
        let end = match binding.source {
            Source::Input(i) => step.inputs[i].byte_range().end,
            Source::Output(i) => step.outputs[i].byte_range().end,
            Source::Scratch(i) => recipe.scratch[i],
        };
        assert_eq!(binding.offset % u64::from(caps.min_storage_buffer_offset_alignment), 0, "{name} binding {i}");
        assert!(binding.size > 0 && binding.size % 4 == 0, "{name} binding {i}: {binding:?}");
        assert!(binding.size <= caps.max_storage_buffer_binding_size, "{name} binding {i}: {binding:?}");
        assert!(binding.offset + binding.size <= end.next_multiple_of(4), "{name} binding {i}: {binding:?} of {end}");
    }
}

pub(super) fn check(desc: &OpDesc, offset: usize, caps: &Caps) -> Vec<Recipe> {
    let names = candidates(desc, caps).unwrap_or_else(|e| panic!("{desc}: {e} ({})", caps.profile.name));
    let step = step(desc, offset);
    assert_eq!(recipe(&step, None, caps).expect("a recipe").name, names[0]);
    let build = |name: &std::sync::Arc<str>| {
        let recipe = recipe(&step, Some(name), caps).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(recipe.name, *name);
        assert!(!recipe.launches.is_empty(), "{desc} by {name}");
        recipe.launches.iter().for_each(|launch| check_launch(launch, &step, &recipe, caps));
        recipe
    };
    names.iter().map(build).collect()
}

#[test]
fn every_operation_has_kernels_on_every_device() {
    for caps in devices() {
        for dtype in DType::FLOATS {
            for desc in every_op(dtype) {
                check(&desc, 0, &caps);
                check(&desc, 1237, &caps);
            }
        }
    }
}

#[test]
fn every_dtype_moves() {
    for dtype in DType::PLAIN {
        let x = t(dtype, &[3, 5]);
        for caps in devices() {
            check(&op(Op::Copy, &[x], &[x]), 3, &caps);
            for index in [DType::I32, DType::I64] {
                check(&op(Op::GatherRows, &[x, t(index, &[3])], &[t(dtype, &[3, 5])]), 3, &caps);
            }
            let pad = Pad { before: x.shape, after: x.shape, value: Scalar::Int(7) };
            check(&op(Op::Pad(pad), &[x], &[t(dtype, &[9, 15])]), 5, &caps);
            check(&op(Op::Fill(Scalar::Int(7)), &[], &[x]), 5, &caps);
            check(&op(Op::Where, &[t(DType::Bool, &[3, 5]), x, x], &[x]), 5, &caps);
            for to in DType::PLAIN {
                check(&op(Op::Copy, &[x], &[t(to, &[3, 5])]), 7, &caps);
            }
        }
    }
}

#[test]
fn profiles_order_candidates() {
    let first = |desc: &OpDesc, caps: &Caps| candidates(desc, caps).expect("candidates")[0].to_string();
    let (software, nvidia) = (&devices()[8], &devices()[1]);
    assert_eq!(first(&matmul(DType::F16, 1, 64, 64), nvidia), "matvec_nk");
    assert_eq!(first(&matmul(DType::F32, 512, 64, 512), nvidia), "matmul_tiled");
    assert_eq!(first(&matmul(DType::F32, 512, 64, 512), software), "matmul_columns_subgroups");
    let others = Caps { subgroups: None, ..software.clone() };
    assert_eq!(first(&matmul(DType::F32, 512, 64, 512), &others), "matmul_columns");
    assert_eq!(first(&matmul(DType::F32, 512, 64, 3), &others), "matmul_direct");
    assert_eq!(first(&matmul(DType::F32, 1, 64, 512), software), "matvec_nk");
    assert_eq!(first(&matmul(DType::F16, 1, 64, 512), software), "matmul_columns_subgroups");
    let norm = op(
        Op::RmsNorm(RmsNorm { eps: Real(1e-5), weight: true }),
        &[t(DType::F32, &[2, 8]), t(DType::F32, &[8])],
        &[t(DType::F32, &[2, 8])],
    );
    assert_eq!(first(&norm, nvidia), "rms_norm_subgroups");
    assert_eq!(first(&norm, &default_limits()), "rms_norm");
    assert_eq!(candidates(&norm, &default_limits()).expect("candidates").len(), 1);
}

#[test]
fn few_long_rows_are_split_by_the_profile() {
    let first = |desc: &OpDesc, caps: &Caps| candidates(desc, caps).expect("candidates")[0].to_string();
    let sum = |rows: usize, n: usize| {
        let reduce = Reduce { op: ReduceOp::Sum, axis: 1 };
        op(Op::Reduce(reduce), &[t(DType::F32, &[rows, n])], &[t(DType::F32, &[rows, 1])])
    };
    let nvidia = &devices()[1];
    assert_eq!(first(&sum(1, 128_256), nvidia), "reduce_split");
    assert_eq!(first(&sum(4096, 128_256), nvidia), "reduce_row_subgroups");
    assert_eq!(first(&sum(1, 4096), nvidia), "reduce_row_subgroups");
    let arg = ArgReduce { op: ArgOp::Max, axis: 1 };
    let arg = op(Op::ArgReduce(arg), &[t(DType::F32, &[1, 128_256])], &[t(DType::U32, &[1, 1])]);
    assert_eq!(first(&arg, nvidia), "arg_split");
}

#[test]
fn a_weight_over_the_binding_limit_is_bound_in_windows() {
    let caps = default_limits();
    for m in [1, 20] {
        for recipe in check(&matmul(DType::F32, m, 4096, 11008), 7, &caps) {
            assert!(recipe.launches.len() >= 2, "{}", recipe.name);
            let columns: u32 = recipe.launches.iter().map(|l| l.params[1]).sum();
            assert_eq!(columns, 11008, "{}", recipe.name);
        }
    }
}

#[test]
fn rows_of_a_weight_that_no_window_of_columns_fits_are_summed_in_parts() {
    let caps = Caps { max_storage_buffer_binding_size: 1 << 16, ..default_limits() };
    for dtype in DType::FLOATS {
        let desc = op(Op::MatMul, &[t(dtype, &[2, 700]), t(dtype, &[700, 600])], &[t(dtype, &[2, 600])]);
        for recipe in check(&desc, 1, &caps) {
            let products: Vec<&Launch> = recipe.launches.iter().filter(|l| !l.variant.name.contains("copy")).collect();
            let terms: u64 = products.iter().map(|l| u64::from(l.params[1]) * u64::from(l.params[2])).sum();
            assert_eq!(terms, 700 * 600, "{}", recipe.name);
        }
    }
}

#[test]
fn a_table_over_the_binding_limit_is_bound_in_windows() {
    let caps = default_limits();
    let desc =
        op(Op::GatherRows, &[t(DType::F32, &[100_000, 4096]), t(DType::U32, &[8])], &[t(DType::F16, &[8, 4096])]);
    for recipe in check(&desc, 1, &caps) {
        // Word 32 and 33 of the parameters are the window's first row and the row after its last.
        let mut next = 0;
        for launch in &recipe.launches {
            assert_eq!(launch.params[32], next);
            next = launch.params[33];
        }
        assert_eq!(next, 100_000);
        assert!(recipe.launches.len() > 10);
    }
}

#[test]
fn many_workgroups_spill_out_of_x() {
    let caps = default_limits();
    let x = t(DType::U8, &[100_000_000]);
    for recipe in check(&op(Op::Copy, &[x], &[x]), 1, &caps) {
        let groups: u64 = recipe.launches.iter().map(|l| l.groups.iter().map(|&g| u64::from(g)).product::<u64>()).sum();
        assert!(groups * 1024 >= 100_000_000);
        assert!(recipe.launches.iter().any(|l| l.groups[1] > 1));
    }
    let rows = t(DType::F32, &[70_000, 2]);
    let softmax = Softmax::new(1.0);
    for recipe in check(&op(Op::Softmax(softmax), &[rows], &[rows]), 0, &caps) {
        assert_eq!(recipe.launches[0].groups, [65535, 2, 1]);
    }
}

#[test]
fn what_cannot_be_bound_is_refused_with_the_limit() {
    let caps = Caps { max_storage_buffer_binding_size: 4096, ..default_limits() };
    let row = t(DType::F32, &[1, 8192]);
    let softmax = Softmax::new(1.0);
    let refusal = candidates(&op(Op::Softmax(softmax), &[row], &[row]), &caps).expect_err("too large");
    assert!(matches!(refusal, unisono_core::Reason::Limit(_)), "{refusal}");
}

#[test]
fn wide_heads_are_left_to_the_decomposition() {
    let q = t(DType::F32, &[1, 2, 3, 320]);
    let attention = Attention::new(0.1, Visibility::Causal);
    let refusal = candidates(&op(Op::Attention(attention), &[q, q, q], &[q]), &default_limits());
    assert!(matches!(refusal, Err(unisono_core::Reason::Limit(_))));
}

#[test]
fn an_unknown_kernel_is_an_error_that_names_the_candidates() {
    let desc = matmul(DType::F32, 2, 3, 4);
    let error = recipe(&step(&desc, 0), Some("no such"), &default_limits()).expect_err("unknown");
    assert!(error.to_string().contains("matvec_nk"), "{error}");
}

#[test]
fn empty_results_need_no_launch() {
    let x = t(DType::F32, &[0, 3]);
    let desc = op(Op::Unary(UnaryOp::Exp), &[x], &[x]);
    assert!(recipe(&step(&desc, 0), None, &default_limits()).expect("a recipe").launches.is_empty());
}

#[test]
fn integers_are_computed_and_long_ones_are_not() {
    let caps = default_limits();
    for dtype in [DType::I32, DType::U32, DType::I64] {
        let x = t(dtype, &[5, 7]);
        let mut ops: Vec<OpDesc> = Vec::new();
        ops.extend(UnaryOp::ALL.into_iter().filter(|f| f.takes(dtype)).map(|f| op(Op::Unary(f), &[x], &[x])));
        ops.extend(BinaryOp::ALL.into_iter().filter(|f| f.takes(dtype)).map(|f| op(Op::Binary(f), &[x, x], &[x])));
        ops.extend(CompareOp::ALL.map(|f| op(Op::Compare(f), &[x, x], &[t(DType::Bool, &[5, 7])])));
        for desc in ops {
            if dtype == DType::I64 {
                let refusal = candidates(&desc, &caps).expect_err("arithmetic on i64");
                assert!(matches!(refusal, unisono_core::Reason::DType(_)), "{refusal}");
            } else {
                check(&desc, 3, &caps);
            }
        }
    }
    let truth = t(DType::Bool, &[5, 7]);
    check(&op(Op::Unary(UnaryOp::Not), &[truth], &[truth]), 1, &caps);
    for f in LogicalOp::ALL {
        check(&op(Op::Logical(f), &[truth, truth], &[truth]), 1, &caps);
    }
}
