//! Small programs on a device: numbers in, numbers out.

use unisono_core::op::Op;
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, ErrorKind, OpDesc, Operand, Program, ProgramBuilder, Result, SlotId,
    SlotKind, Step, Support, TensorDesc,
};

use crate::data::{POISON_BYTE, decode, encode};
use crate::runner::exec::{download, finish, upload};

/// A device under question.
pub(super) struct Probe<'a> {
    pub(super) backend: &'a dyn Backend,
}

/// One input of a probe: its type and its numbers, which are rounded to the type.
pub(super) type Input<'a> = (DType, &'a [f64]);

impl<'a> Probe<'a> {
    pub(super) fn new(backend: &'a dyn Backend) -> Probe<'a> {
        Probe { backend }
    }

    /// One element-wise operation over vectors of one length; `None` where it is unsupported.
    pub(super) async fn map(&self, op: Op, inputs: &[Input<'_>], out: DType) -> Result<Option<Vec<f64>>> {
        self.steps(vec![op], inputs, out).await
    }

    /// Several operations in one program: the first takes the inputs, each further one the result
    /// of the one before in f32 and the last input, if it takes two.
    pub(super) async fn steps(&self, ops: Vec<Op>, inputs: &[Input<'_>], out: DType) -> Result<Option<Vec<f64>>> {
        let n = inputs.first().map_or(0, |(_, x)| x.len());
        let mut builder = ProgramBuilder::new();
        let mut bound: Vec<Operand> = Vec::new();
        for (dtype, _) in inputs {
            bound.push(builder.operand(SlotKind::Input, TensorDesc::contiguous(*dtype, &[n])?));
        }
        let y = builder.operand(SlotKind::Output, TensorDesc::contiguous(out, &[n])?);
        let last = ops.len().saturating_sub(1);
        let mut value: Option<Operand> = None;
        for (i, op) in ops.into_iter().enumerate() {
            let count = op.operand_names().0.len();
            let operands: Vec<Operand> = match value {
                None => bound[..count].to_vec(),
                Some(value) => std::iter::once(value).chain(bound.last().copied()).take(count).collect(),
            };
            let target = if i == last {
                y
            } else {
                builder.operand(SlotKind::Temporary, TensorDesc::contiguous(DType::F32, &[n])?)
            };
            let desc = OpDesc {
                op: op.clone(),
                inputs: operands.iter().map(|o| o.desc).collect(),
                outputs: vec![target.desc],
            };
            if matches!(self.backend.supports(&desc), Support::Unsupported(_)) {
                return Ok(None);
            }
            builder.push_step(Step { op, inputs: operands, outputs: vec![target], kernel: Default::default() })?;
            value = Some(target);
        }
        let bytes: Vec<Vec<u8>> = inputs.iter().map(|(dtype, x)| pack(*dtype, x)).collect();
        let result = self.run(&builder.finish(), &bytes, y.desc.span_bytes()).await?;
        Ok(result.map(|bytes| decode(out, &bytes)))
    }

    /// Submits a program whose bound slots are its inputs, in order, and then one output.
    pub(super) async fn run(&self, program: &Program, inputs: &[Vec<u8>], output: u64) -> Result<Option<Vec<u8>>> {
        let plan = match self.backend.compile(program) {
            Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(None),
            plan => plan?,
        };
        let mut bindings = Bindings::new();
        for (i, bytes) in inputs.iter().enumerate() {
            bindings.set(SlotId(i as u32), upload(self.backend, bytes)?);
        }
        let y = self.backend.alloc(&BufferDesc::new(output))?;
        self.backend.write(&y, 0, &vec![POISON_BYTE; output as usize])?;
        bindings.set(SlotId(inputs.len() as u32), y.clone());
        finish(self.backend.submit(&plan, &bindings)?).await?;
        Ok(Some(download(self.backend, &y).await?))
    }
}

/// Numbers as stored.
pub(super) fn pack(dtype: DType, values: &[f64]) -> Vec<u8> {
    let size = dtype.block_bytes();
    values.iter().flat_map(|&x| encode(dtype, x).to_le_bytes().into_iter().take(size)).collect()
}

/// A number as it stands in an answer: zeros with their sign.
pub(super) fn shown(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        x if x == 0.0 => if x.is_sign_negative() { "-0" } else { "0" }.into(),
        x if x.is_finite() && !(1e-3..1e6).contains(&x.abs()) => format!("{x:e}"),
        x => format!("{x}"),
    }
}
