//! Programs: what the builder refuses, how composites are lowered, where temporaries live.

use unisono_core::op::{
    Activation, Attention, BinaryOp, Gate, Linear, Reduce, ReduceOp, RmsNorm, Softmax, UnaryOp, Visibility,
};
use unisono_core::{
    DType, KernelChoice, Op, OpDesc, Operand, Program, ProgramBuilder, Reason, SlotKind, Step, Support, TensorDesc,
    assign_blocks, decomposition, fuse, lower, support,
};

fn f32(shape: &[usize]) -> TensorDesc {
    TensorDesc::contiguous(DType::F32, shape).unwrap()
}

fn names(program: &Program) -> Vec<&str> {
    program.steps().iter().map(|s| s.op.name()).collect()
}

#[test]
fn errors_name_the_operation_and_its_operands() {
    let e = OpDesc::new(Op::MatMul, vec![f32(&[2, 3]), f32(&[4, 5])], vec![f32(&[2, 5])]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "matmul: inner sizes differ: a has 3, b has 4 (a: f32[2, 3], b: f32[4, 5] -> y: f32[2, 5])"
    );
    let ints = TensorDesc::contiguous(DType::I32, &[2]).unwrap();
    let e = OpDesc::new(Op::Unary(UnaryOp::Exp), vec![ints], vec![f32(&[2])]).unwrap_err();
    assert!(e.to_string().contains("i32") && e.to_string().starts_with("exp:"), "{e}");
    let e = OpDesc::new(Op::MatMul, vec![f32(&[2, 3])], vec![f32(&[2, 5])]).unwrap_err();
    assert!(e.to_string().contains("takes 2 inputs"), "{e}");
    let max = Op::Reduce(Reduce { op: ReduceOp::Max, axis: 1 });
    let e = OpDesc::new(max, vec![f32(&[2, 0])], vec![f32(&[2, 1])]).unwrap_err();
    assert!(e.to_string().contains("zero size"), "{e}");
    let sum = Op::Reduce(Reduce { op: ReduceOp::Sum, axis: 1 });
    assert!(OpDesc::new(sum, vec![f32(&[2, 0])], vec![f32(&[2, 1])]).is_ok());
    let norm = Op::RmsNorm(RmsNorm { eps: f32::NAN.into(), weight: true });
    assert!(OpDesc::new(norm, vec![f32(&[2, 4]), f32(&[4])], vec![f32(&[2, 4])]).is_err());
}

#[test]
fn the_builder_refuses_unsafe_access() {
    let neg = Op::Unary(UnaryOp::Neg);
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32(&[4]));
    let y = b.operand(SlotKind::Output, f32(&[4]));
    let t = b.operand(SlotKind::Temporary, f32(&[4]));
    assert!(b.push(neg.clone(), &[t], &[y]).unwrap_err().to_string().contains("before anything was written"));
    assert!(b.push(neg.clone(), &[y], &[x]).is_err(), "writes an input");
    assert!(
        b.push(neg.clone(), &[x], &[Operand { offset: 1, ..y }]).unwrap_err().to_string().contains("ends at byte 20")
    );
    b.push(neg.clone(), &[x], &[t]).unwrap();
    assert!(b.push(neg.clone(), &[t], &[t]).unwrap_err().to_string().contains("overlaps"));
    let overlapping = f32(&[1]).broadcast_to(&[4]).unwrap();
    assert!(
        b.push(neg.clone(), &[x], &[y.with_desc(overlapping)]).unwrap_err().to_string().contains("overlaps itself")
    );
    let half = f32(&[2]);
    b.push(neg.clone(), &[t.with_desc(half)], &[Operand { offset: 2, desc: half, ..y }]).unwrap();
    b.push(neg, &[t], &[y]).unwrap();
    assert_eq!(b.finish().steps().len(), 3);
}

#[test]
fn composites_are_lowered_unless_native() {
    let linear = Linear { bias: true, activation: Activation::Gelu, residual: true };
    let inputs = vec![f32(&[2, 3]), f32(&[3, 5]), f32(&[5]), f32(&[2, 5])];
    let desc = OpDesc::new(Op::Linear(linear), inputs, vec![f32(&[2, 5])]).unwrap();
    let program = decomposition(&desc).unwrap();
    assert_eq!(names(&program), ["matmul", "add", "gelu", "add"]);

    let mut b = ProgramBuilder::new();
    let gate = b.operand(SlotKind::Input, f32(&[8]));
    let y = b.operand(SlotKind::Output, f32(&[8]));
    b.push(Op::Gated(Gate::SwiGlu), &[gate, gate], &[y]).unwrap();
    let program = b.finish();
    assert_eq!(names(&lower(&program, &|_| true).unwrap()), ["swiglu"]);
    assert_eq!(names(&lower(&program, &|d| !d.op.is_composite()).unwrap()), ["silu", "mul"]);

    let mut b = ProgramBuilder::new();
    let gate = b.operand(SlotKind::Input, f32(&[8]));
    let y = b.operand(SlotKind::Output, f32(&[8]));
    let step = Step {
        op: Op::Gated(Gate::SwiGlu),
        inputs: vec![gate, gate],
        outputs: vec![y],
        kernel: KernelChoice::Decompose,
    };
    b.push_step(step).unwrap();
    assert_eq!(names(&lower(&b.finish(), &|_| true).unwrap()), ["silu", "mul"], "asked for, though native");
}

#[test]
fn attention_decomposes_with_grouped_heads_and_causal_limits() {
    let op = Attention::new(0.5, Visibility::Causal);
    let (q, kv) = (f32(&[2, 6, 3, 8]), f32(&[2, 2, 5, 8]));
    let desc = OpDesc::new(Op::Attention(op), vec![q, kv, kv], vec![q]).unwrap();
    let program = decomposition(&desc).unwrap();
    assert_eq!(names(&program), ["matmul", "softmax", "matmul"]);
    let softmax = &program.steps()[1];
    assert_eq!(softmax.op, Op::Softmax(Softmax { limits: true, ..Softmax::new(0.5) }));
    assert_eq!(*softmax.inputs[0].desc.shape, [2, 2, 3, 3, 5]);
    let SlotKind::Constant(limits) = &program.slots()[softmax.inputs[1].slot.index()].kind else {
        panic!("the causal limits are a constant")
    };
    assert_eq!(bytemuck::cast_slice::<u8, u32>(limits), [3, 4, 5], "3 queries at the end of 5 keys");

    let desc = OpDesc::new(Op::Attention(op), vec![q, f32(&[2, 4, 5, 8]), f32(&[2, 4, 5, 8])], vec![q]);
    assert!(desc.unwrap_err().to_string().contains("do not divide"));
}

#[test]
fn support_follows_the_selector() {
    let x = f32(&[8]);
    let swiglu = OpDesc::new(Op::Gated(Gate::SwiGlu), vec![x, x], vec![x]).unwrap();
    let only = |allowed: &'static [&'static str]| {
        move |d: &OpDesc| match allowed.contains(&d.op.name()) {
            true => Ok(()),
            false => Err(Reason::Op(d.op.name().to_owned())),
        }
    };
    assert_eq!(support(&swiglu, &only(&["swiglu"])), Support::Native);
    assert_eq!(support(&swiglu, &only(&["silu", "mul"])), Support::Composed);
    assert_eq!(support(&swiglu, &only(&["silu"])), Support::Unsupported(Reason::Op("mul".into())));
    let bad = OpDesc { op: Op::Gated(Gate::SwiGlu), inputs: vec![x, f32(&[7])], outputs: vec![x] };
    assert!(matches!(support(&bad, &|_| Ok(())), Support::Unsupported(Reason::Invalid(_))));
}

#[test]
fn temporaries_share_blocks_only_when_their_lifetimes_allow() {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32(&[16]));
    let y = b.operand(SlotKind::Output, f32(&[16]));
    let t: Vec<Operand> = (0..4).map(|_| b.operand(SlotKind::Temporary, f32(&[16]))).collect();
    b.operand(SlotKind::Temporary, f32(&[1 << 20]));
    let neg = Op::Unary(UnaryOp::Neg);
    b.push(neg.clone(), &[x], &[t[0]]).unwrap();
    b.push(neg.clone(), &[t[0]], &[t[1]]).unwrap();
    b.push(neg, &[t[1]], &[t[2]]).unwrap();
    b.push(Op::Binary(BinaryOp::Add), &[t[1], t[2]], &[t[3]]).unwrap();
    b.push(Op::Binary(BinaryOp::Mul), &[t[3], t[3]], &[y]).unwrap();
    let program = b.finish();
    let plan = assign_blocks(&program);
    let block = |o: &Operand| plan.block_of[o.slot.index()];
    // At each step all temporaries that it touches, or that are still needed, differ.
    assert_ne!(block(&t[0]), block(&t[1]));
    assert_ne!(block(&t[1]), block(&t[2]));
    assert_ne!(block(&t[3]), block(&t[1]));
    assert_ne!(block(&t[3]), block(&t[2]));
    assert_eq!(block(&t[2]), block(&t[0]), "t0 ended before t2 began");
    assert_eq!(plan.blocks.len(), 3);
    assert!(plan.blocks.iter().all(|&b| b == 64), "the unused temporary takes no memory");
}

#[test]
fn decompositions_fuse_back_to_their_composites() {
    let (a, b, bias, y) = (f32(&[4, 3]), f32(&[3, 5]), f32(&[5]), f32(&[4, 5]));
    let mut composites = vec![(Op::Gated(Gate::SwiGlu), vec![y, y])];
    for (has_bias, activation, residual) in
        [(true, Activation::Silu, true), (true, Activation::None, false), (false, Activation::GeluTanh, false)]
    {
        let op = Op::Linear(Linear { bias: has_bias, activation, residual });
        let inputs = [a, b].into_iter().chain(has_bias.then_some(bias)).chain(residual.then_some(y)).collect();
        composites.push((op, inputs));
    }
    for (op, inputs) in composites {
        let desc = OpDesc::new(op.clone(), inputs, vec![y]).unwrap();
        let program = decomposition(&desc).unwrap();
        assert!(program.steps().len() > 1);
        let fused = fuse(&program, &|_| true).unwrap();
        assert_eq!(fused.steps().iter().map(Step::desc).collect::<Vec<_>>(), [desc], "{op:?}");
        assert_eq!(fuse(&program, &|d| !d.op.is_composite()).unwrap(), program, "declined");
    }
}

#[test]
fn fusion_keeps_what_somebody_else_reads() {
    let y = f32(&[4, 4]);
    let build = |kind: SlotKind, read_twice: bool| {
        let mut b = ProgramBuilder::new();
        let x = b.operand(SlotKind::Input, y);
        let out = b.operand(SlotKind::Output, y);
        let second = b.operand(SlotKind::Output, y);
        let t = b.operand(kind, y);
        b.push(Op::Unary(UnaryOp::Silu), &[x], &[t]).unwrap();
        b.push(Op::Binary(BinaryOp::Mul), &[x, t], &[out]).unwrap();
        if read_twice {
            b.push(Op::Unary(UnaryOp::Neg), &[t], &[second]).unwrap();
        }
        fuse(&b.finish(), &|_| true).unwrap()
    };
    assert_eq!(names(&build(SlotKind::Temporary, false)), ["swiglu"]);
    assert_eq!(names(&build(SlotKind::Temporary, true)), ["silu", "mul", "neg"]);
    assert_eq!(names(&build(SlotKind::Output, false)), ["silu", "mul"]);

    // The last step may overwrite what the first one has read; one step may not.
    let mut b = ProgramBuilder::new();
    let state = b.operand(SlotKind::State, y);
    let t = b.operand(SlotKind::Temporary, y);
    let up = b.operand(SlotKind::Input, y);
    b.push(Op::Unary(UnaryOp::Silu), &[state], &[t]).unwrap();
    b.push(Op::Binary(BinaryOp::Mul), &[t, up], &[state]).unwrap();
    assert_eq!(names(&fuse(&b.finish(), &|_| true).unwrap()), ["silu", "mul"]);

    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, y);
    let weight = b.operand(SlotKind::Input, f32(&[4]));
    let (sum, out) = (b.operand(SlotKind::Output, y), b.operand(SlotKind::Output, y));
    b.push(Op::Binary(BinaryOp::Add), &[x, x], &[sum]).unwrap();
    b.push(Op::RmsNorm(RmsNorm { eps: 1e-5.into(), weight: true }), &[sum, weight], &[out]).unwrap();
    let fused = fuse(&b.finish(), &|_| true).unwrap();
    assert_eq!(names(&fused), ["add_rms_norm"]);
    assert_eq!(fused.steps()[0].outputs, [sum, out]);
}
