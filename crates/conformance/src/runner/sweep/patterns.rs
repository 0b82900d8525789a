//! A function of one f32 on bit patterns spread over all of them, or on every one.

use std::sync::Arc;

use unisono_core::op::{Op, OpDesc};
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, KernelChoice, ProgramBuilder, Result, SlotId, SlotKind, Step, TensorDesc,
};

use crate::check::check;
use crate::data::{Fill, POISON_BYTE, Stream, fill_bytes};
use crate::hash::Fnv;
use crate::oracle;
use crate::report::{CaseResult, Number, Status, Worst};
use crate::runner::exec::{download, finish};

/// Elements of one submission.
const CHUNK: u64 = 1 << 20;

/// Some patterns of f32 through one operation.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    pub(crate) op: Op,
    pub(crate) out: DType,
    /// Distance between patterns.
    pub(crate) every: u64,
    /// Number of the first pattern.
    pub(crate) from: u64,
    /// How many.
    pub(crate) count: u64,
}

impl Patterns {
    pub(crate) fn desc(&self) -> Result<OpDesc> {
        let shape = [CHUNK as usize];
        let (x, y) = (TensorDesc::contiguous(DType::F32, &shape)?, TensorDesc::contiguous(self.out, &shape)?);
        OpDesc::new(self.op.clone(), vec![x], vec![y])
    }

    /// The patterns of the chunk that starts at number `first`. Where some are left out, the low bits
    /// run through all values, too. NaN and ∞ are made finite, as everywhere.
    fn chunk(&self, desc: &TensorDesc, first: u64) -> Vec<u8> {
        let start = (self.from + first) * self.every;
        let step = if self.every == 1 { 1 } else { self.every as u32 + 1 };
        let start = if self.every == 1 { start as u32 } else { (start + first) as u32 };
        fill_bytes(desc, &Fill::Bits { start, step }, &Stream::new("patterns", 0))
    }

    pub(crate) fn input_hash(&self) -> Result<String> {
        let (desc, mut hash) = (self.desc()?, Fnv::new());
        for first in (0..self.count).step_by(CHUNK as usize) {
            hash.update(&self.chunk(&desc.inputs[0], first));
        }
        Ok(hash.hex())
    }

    pub(crate) async fn run(&self, backend: &dyn Backend, kernel: &Arc<str>, result: &mut CaseResult) -> Result<()> {
        let desc = self.desc()?;
        let mut builder = ProgramBuilder::new();
        let x = builder.operand(SlotKind::Input, desc.inputs[0]);
        let y = builder.operand(SlotKind::Output, desc.outputs[0]);
        let kernel = KernelChoice::Named(kernel.clone());
        builder.push_step(Step { op: self.op.clone(), inputs: vec![x], outputs: vec![y], kernel })?;
        let plan = backend.compile(&builder.finish())?;
        let input = backend.alloc(&BufferDesc::new(desc.inputs[0].span_bytes()))?;
        let output = backend.alloc(&BufferDesc::new(desc.outputs[0].span_bytes()))?;
        let mut bindings = Bindings::new();
        bindings.set(SlotId(0), input.clone());
        bindings.set(SlotId(1), output.clone());
        let poison = vec![POISON_BYTE; desc.outputs[0].span_bytes() as usize];
        let (mut failures, mut warnings, mut quality) = (0, 0, 0.0f64);
        let (mut ins, mut outs) = (Fnv::new(), Fnv::new());
        let mut ratio = 0.0f64;
        for first in (0..self.count).step_by(CHUNK as usize) {
            let bytes = self.chunk(&desc.inputs[0], first);
            backend.write(&input, 0, &bytes)?;
            backend.write(&output, 0, &poison)?;
            let ticket = backend.submit(&plan, &bindings)?;
            // The oracle works while the device does.
            let expected = oracle::evaluate(&desc, std::slice::from_ref(&bytes), &[None])?;
            finish(ticket).await?;
            let got = download(backend, &output).await?;
            ins.update(&bytes);
            outs.update(&got);
            let outcome = check(&expected[0], &desc.outputs[0], &got);
            failures += outcome.failures;
            warnings += outcome.warnings;
            quality = quality.max(outcome.worst_quality_ratio);
            if let Some(worst) = outcome.worst.filter(|_| outcome.worst_ratio > ratio || result.worst.is_none()) {
                let at = 4 * worst.index;
                let bits = bytes[at..at + 4].iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b));
                result.worst = Some(Worst {
                    output: 0,
                    index: vec![bits as usize],
                    expected: Number(worst.expected),
                    actual: Number(worst.actual),
                    bound: Number(worst.bound),
                });
            }
            ratio = ratio.max(outcome.worst_ratio);
        }
        result.ratio = Some(Number(ratio));
        (result.input_hash, result.output_hash) = (ins.hex(), outs.hex());
        let bits = result.worst.as_ref().map_or(0, |w| w.index[0]);
        (result.status, result.detail) = match (failures, warnings) {
            (0, 0) => (Status::Pass, String::new()),
            (0, n) => (Status::Warn, format!("{n} of {} over the probable error, {quality:.1} times", self.count)),
            (n, _) => (Status::Fail, format!("{n} of {} patterns over the bound, such as {bits:#010x}", self.count)),
        };
        Ok(())
    }
}
