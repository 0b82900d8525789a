//! The programs of the `program` family: each is built to go wrong in one way if memory or order
//! is handled carelessly.
//!
//! Every value is an integer that `f32` holds exactly, so the sums and products are exact.

use std::sync::Arc;

use unisono_core::op::{BinaryOp, Concat, Op, UnaryOp};
use unisono_core::{DType, Operand, Program, ProgramBuilder, Result, SlotId, SlotKind, TensorDesc};

use super::program::{Action, HostBuffer, Scenario};

/// A scenario under its name.
#[derive(Debug)]
pub(crate) struct ProgramCase {
    pub(crate) id: &'static str,
    /// Builds it from a number that changes the data.
    pub(crate) build: fn(i32) -> Result<Scenario>,
}

/// Every program case.
pub(crate) const ALL: &[ProgramCase] = &[
    ProgramCase { id: "program/empty:steps=0:seed=1", build: empty },
    ProgramCase { id: "program/chain:temporaries=8:seed=1", build: chain },
    ProgramCase { id: "program/long_lived:temporaries=7:seed=1", build: long_lived },
    ProgramCase { id: "program/overwrite:temporaries=1:seed=1", build: overwrite },
    ProgramCase { id: "program/output_read_back:steps=3:seed=1", build: output_read_back },
    ProgramCase { id: "program/shared_slot:operands=2:seed=1", build: shared_slot },
    ProgramCase { id: "program/constant:uses=2:seed=1", build: constant },
    ProgramCase { id: "program/zero_size:steps=3:seed=1", build: zero_size },
    ProgramCase { id: "program/state:submissions=3:seed=1", build: state },
    ProgramCase { id: "program/read_after_write:submissions=2:seed=1", build: read_after_write },
    ProgramCase { id: "program/write_order:submissions=3:seed=1", build: write_order },
    ProgramCase { id: "program/replay:submissions=20:seed=1", build: replay },
    ProgramCase { id: "program/end_of_buffer:outputs=3:seed=1", build: end_of_buffer },
    ProgramCase { id: "program/dropped_buffer:submissions=4:seed=1", build: dropped_buffer },
];

const ADD: Op = Op::Binary(BinaryOp::Add);
const SUB: Op = Op::Binary(BinaryOp::Sub);
const NEG: Op = Op::Unary(UnaryOp::Neg);

fn f32s(shape: &[usize]) -> Result<TensorDesc> {
    TensorDesc::contiguous(DType::F32, shape)
}

/// Integers from −4 to 4 that depend on `seed`.
fn floats(seed: i32, n: usize) -> Vec<u8> {
    let value = |i: usize| ((i as i64 * 7 + i64::from(seed) * 5 + (i as i64 * i as i64) % 11) % 9 - 4) as f32;
    (0..n).flat_map(|i| value(i).to_le_bytes()).collect()
}

fn buffer(dtype: DType, bytes: Vec<u8>) -> HostBuffer {
    HostBuffer { dtype, bytes }
}

/// A bound buffer of `n` floats that nobody has written.
fn poisoned(n: usize) -> HostBuffer {
    buffer(DType::F32, vec![crate::data::POISON_BYTE; 4 * n])
}

/// Submits program `program` with buffer `i` at its `i`-th bound slot.
fn submit_in_order(program: usize, buffers: usize) -> Action {
    Action::Submit(program, (0..buffers).map(|i| (SlotId(i as u32), i)).collect())
}

/// One input, one output, one submission.
fn simple(program: Program, input: Vec<u8>, outputs: usize) -> Scenario {
    Scenario {
        programs: vec![program],
        buffers: vec![buffer(DType::F32, input), poisoned(outputs)],
        script: vec![submit_in_order(0, 2)],
    }
}

/// A program without a step leaves its buffers alone.
fn empty(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    b.operand(SlotKind::Input, f32s(&[5])?);
    b.operand(SlotKind::Output, f32s(&[5])?);
    Ok(simple(b.finish(), floats(seed, 5), 5))
}

/// Temporaries of growing and shrinking sizes, each dead after its only use: they share blocks.
fn chain(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[4, 6])?);
    let y = b.operand(SlotKind::Output, f32s(&[4, 6])?);
    let mut weight = |shape: &[usize]| -> Result<Operand> {
        let desc = f32s(shape)?;
        let bytes: Arc<[u8]> = floats(seed + 1, desc.elements()).into();
        Ok(b.operand(SlotKind::Constant(bytes), desc))
    };
    let (wide, narrow) = (weight(&[6, 40])?, weight(&[40, 3])?);
    let mut t = |shape: &[usize]| Ok::<_, unisono_core::Error>(b.operand(SlotKind::Temporary, f32s(shape)?));
    let (a, c, d, e) = (t(&[4, 40])?, t(&[4, 40])?, t(&[4, 3])?, t(&[4, 3])?);
    let (f, g, h, i) = (t(&[4, 6])?, t(&[4, 6])?, t(&[4, 6])?, t(&[4, 6])?);
    b.push(Op::MatMul, &[x, wide], &[a])?;
    b.push(NEG, &[a], &[c])?;
    b.push(Op::MatMul, &[c, narrow], &[d])?;
    b.push(NEG, &[d], &[e])?;
    b.push(Op::Concat(Concat { axis: 1, inputs: 2 }), &[e, d], &[f])?;
    b.push(ADD, &[f, x], &[g])?;
    b.push(NEG, &[g], &[h])?;
    b.push(ADD, &[h, h], &[i])?;
    b.push(Op::Copy, &[i], &[y])?;
    Ok(simple(b.finish(), floats(seed, 24), 24))
}

/// The first temporary is needed again at the end, when every other one has come and gone.
fn long_lived(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[33])?);
    let y = b.operand(SlotKind::Output, f32s(&[33])?);
    let first = b.operand(SlotKind::Temporary, x.desc);
    b.push(ADD, &[x, x], &[first])?;
    let mut last = first;
    for _ in 0..6 {
        let next = b.operand(SlotKind::Temporary, x.desc);
        b.push(SUB, &[last, x], &[next])?;
        last = next;
    }
    b.push(Op::Binary(BinaryOp::Mul), &[last, first], &[y])?;
    Ok(simple(b.finish(), floats(seed, 33), 33))
}

/// One temporary is written, read, written again and read again.
fn overwrite(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[300])?);
    let whole = b.operand(SlotKind::Output, f32s(&[600])?);
    let half = whole.with_desc(x.desc);
    let t = b.operand(SlotKind::Temporary, x.desc);
    b.push(NEG, &[x], &[t])?;
    b.push(ADD, &[t, t], &[half])?;
    b.push(ADD, &[x, x], &[t])?;
    b.push(SUB, &[t, x], &[Operand { offset: 300, ..half }])?;
    Ok(simple(b.finish(), floats(seed, 300), 600))
}

/// An output is read by a later step and then overwritten.
fn output_read_back(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[70])?);
    let y = b.operand(SlotKind::Output, x.desc);
    let t = b.operand(SlotKind::Temporary, x.desc);
    b.push(ADD, &[x, x], &[y])?;
    b.push(ADD, &[y, x], &[t])?;
    b.push(NEG, &[t], &[y])?;
    Ok(simple(b.finish(), floats(seed, 70), 70))
}

/// Two steps write halves of one slot, a third reads both as one tensor, turned around.
fn shared_slot(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[7, 5])?);
    let y = b.operand(SlotKind::Output, f32s(&[5, 14])?);
    let t = b.operand(SlotKind::Temporary, f32s(&[14, 5])?);
    b.push(NEG, &[x], &[t.with_desc(x.desc)])?;
    b.push(ADD, &[x, x], &[Operand { offset: 35, ..t.with_desc(x.desc) }])?;
    b.push(Op::Copy, &[t.with_desc(t.desc.transposed(0, 1)?)], &[y])?;
    Ok(simple(b.finish(), floats(seed, 35), 70))
}

/// A constant is read twice, once as a broadcast row.
fn constant(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[6, 9])?);
    let y = b.operand(SlotKind::Output, x.desc);
    let row = f32s(&[9])?;
    let c = b.operand(SlotKind::Constant(floats(seed + 2, 9).into()), row);
    let c = c.with_desc(row.broadcast_to(&[6, 9])?);
    let t = b.operand(SlotKind::Temporary, x.desc);
    b.push(ADD, &[x, c], &[t])?;
    b.push(Op::Binary(BinaryOp::Mul), &[t, c], &[y])?;
    Ok(simple(b.finish(), floats(seed, 54), 54))
}

/// Empty tensors between steps: nothing plus something, and a product over nothing, which is 0.
fn zero_size(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[3, 4])?);
    let y = b.operand(SlotKind::Output, f32s(&[3, 4])?);
    let none = Operand { desc: f32s(&[3, 0])?, ..x };
    let t = b.operand(SlotKind::Temporary, f32s(&[3, 4])?);
    let nothing = b.operand(SlotKind::Temporary, f32s(&[3, 0])?);
    b.push(NEG, &[none], &[nothing])?;
    b.push(Op::MatMul, &[none, Operand { desc: f32s(&[0, 4])?, ..x }], &[t])?;
    b.push(ADD, &[t, x], &[y])?;
    Ok(simple(b.finish(), floats(seed, 12), 12))
}

/// A cache: rows are scattered into a state and gathered from it, over several submissions.
fn state(seed: i32) -> Result<Scenario> {
    let mut b = ProgramBuilder::new();
    let rows = b.operand(SlotKind::Input, f32s(&[2, 5])?);
    let at = b.operand(SlotKind::Input, TensorDesc::contiguous(DType::U32, &[2])?);
    let cache = b.operand(SlotKind::State, f32s(&[8, 5])?);
    let all = b.operand(SlotKind::Input, TensorDesc::contiguous(DType::U32, &[8])?);
    let y = b.operand(SlotKind::Output, f32s(&[8, 5])?);
    b.push(Op::ScatterRows, &[rows, at], &[cache])?;
    b.push(Op::GatherRows, &[cache, all], &[y])?;
    let indices = |list: &[u32]| list.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>();
    let mut script = Vec::new();
    for (step, at) in [[1, 6], [6, 2], [7, 0]].iter().enumerate() {
        script.push(Action::Write(0, 0, floats(seed + step as i32, 10)));
        script.push(Action::Write(1, 0, indices(at)));
        script.push(submit_in_order(0, 5));
    }
    let buffers = vec![
        poisoned(10),
        buffer(DType::U32, indices(&[0, 0])),
        buffer(DType::F32, floats(seed + 3, 40)),
        buffer(DType::U32, indices(&[6, 1, 0, 5, 2, 7, 3, 4])),
        poisoned(40),
    ];
    Ok(Scenario { programs: vec![b.finish()], buffers, script })
}

/// `y = 2x`, or `y = −x`.
fn step_program(op: &Op, n: usize) -> Result<Program> {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, f32s(&[n])?);
    let y = b.operand(SlotKind::Output, f32s(&[n])?);
    let inputs = [x, x];
    b.push(op.clone(), &inputs[..op.operand_names().0.len()], &[y])?;
    Ok(b.finish())
}

/// The second submission reads what the first one writes; nothing waits in between.
fn read_after_write(seed: i32) -> Result<Scenario> {
    let n = 1000;
    let submit = |program, from, to| Action::Submit(program, vec![(SlotId(0), from), (SlotId(1), to)]);
    Ok(Scenario {
        programs: vec![step_program(&ADD, n)?, step_program(&NEG, n)?],
        buffers: vec![buffer(DType::F32, floats(seed, n)), poisoned(n), poisoned(n)],
        script: vec![submit(0, 0, 1), submit(1, 1, 2)],
    })
}

/// An input is written anew right after each submission that reads it.
fn write_order(seed: i32) -> Result<Scenario> {
    let n = 2000;
    let mut script = Vec::new();
    for i in 0..3 {
        script.push(Action::Write(0, 0, floats(seed + i, n)));
        script.push(Action::Submit(0, vec![(SlotId(0), 0), (SlotId(1), 1 + i as usize)]));
    }
    script.push(Action::Write(0, 4, floats(seed + 9, 3)));
    let buffers = vec![poisoned(n), poisoned(n), poisoned(n), poisoned(n)];
    Ok(Scenario { programs: vec![step_program(&ADD, n)?], buffers, script })
}

/// One plan with two buffers that change roles at every submission.
fn replay(seed: i32) -> Result<Scenario> {
    let n = 129;
    let script = (0..20).map(|i| Action::Submit(0, vec![(SlotId(0), i % 2), (SlotId(1), 1 - i % 2)])).collect();
    let buffers = vec![buffer(DType::F32, floats(seed, n)), poisoned(n)];
    Ok(Scenario { programs: vec![step_program(&ADD, n)?], buffers, script })
}

/// The input of a submission is dropped at once and its memory may be taken by the next buffer.
fn dropped_buffer(seed: i32) -> Result<Scenario> {
    let n = 4096;
    let mut script = Vec::new();
    for i in 0..4 {
        script.push(Action::Submit(0, vec![(SlotId(0), 0), (SlotId(1), 1 + i as usize)]));
        script.push(Action::Replace(0, floats(seed + 1 + i, n)));
    }
    let buffers = std::iter::once(buffer(DType::F32, floats(seed, n))).chain((0..4).map(|_| poisoned(n)));
    Ok(Scenario { programs: vec![step_program(&ADD, n)?], buffers: buffers.collect(), script })
}

/// Outputs of narrow elements that end where their buffer ends, behind elements that must stay: a whole
/// word written at the end leaves the buffer, at the start it hits a neighbour.
fn end_of_buffer(seed: i32) -> Result<Scenario> {
    let n = 7;
    let bytes: Vec<u8> = (0..n).map(|i| (i as i32 * 5 + seed) as u8).collect();
    let mut scenario = Scenario {
        buffers: vec![buffer(DType::F32, floats(seed, n)), buffer(DType::I8, bytes)],
        ..Scenario::default()
    };
    for (i, (from, to)) in
        [(DType::F32, DType::F16), (DType::F32, DType::BF16), (DType::I8, DType::I8)].into_iter().enumerate()
    {
        let mut b = ProgramBuilder::new();
        let x = b.operand(SlotKind::Input, TensorDesc::contiguous(from, &[n])?);
        let all = TensorDesc::contiguous(to, &[n + 3])?;
        let y = b.operand(SlotKind::State, all);
        let last = Operand { offset: 3, ..y.with_desc(TensorDesc::contiguous(to, &[n])?) };
        b.push(Op::Copy, &[x], &[last])?;
        scenario.programs.push(b.finish());
        scenario.buffers.push(buffer(to, vec![crate::data::POISON_BYTE; all.span_bytes() as usize]));
        let input = usize::from(from == DType::I8);
        scenario.script.push(Action::Submit(i, vec![(SlotId(0), input), (SlotId(1), i + 2)]));
    }
    Ok(scenario)
}
