//! Products of every inner size, on data whose sums are exact: one dropped, doubled or foreign term
//! shows at whatever size it happens.
//!
//! All sizes are views of one pair of buffers, so the right answer is a difference of running sums.
//! The elements right behind a view are ordinary numbers, never zero, and every fifth size starts one
//! element later, which breaks alignment.

use std::sync::Arc;

use unisono_core::op::Op;
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, Error, KernelChoice, OpDesc, Operand, ProgramBuilder, Result, SlotId,
    SlotKind, Step, TensorDesc,
};

use super::MOST_K;
use crate::data::{Fill, POISON_BYTE, Scales, Stream, decode, fill_bytes, read_logical};
use crate::hash::Fnv;
use crate::report::{CaseResult, Number, Status, Worst};
use crate::runner::exec::{download, finish, upload};

/// Columns of the product.
const COLUMNS: usize = 3;
/// Products in one submission.
const BATCH: usize = 256;
/// Up to here the selected kernel runs every size with one row (others an eighth of it: tiles of
/// kernels for many rows compute much that is thrown away).
const DENSE: usize = 1024;
/// Up to here the selected kernel runs every size with one row of f32. Above, one size in
/// [`STRIDE`]: the work grows with the square of the size, and a software adapter takes minutes.
const EVERY: usize = 16_384;
/// Prime, so that every remainder by a tile or workgroup size occurs.
const STRIDE: usize = 61;

/// The products of one weight type with one number of rows.
#[derive(Clone, Debug)]
pub(crate) struct EveryK {
    pub(crate) weight: DType,
    /// Rows.
    pub(crate) m: usize,
    /// Whether columns of the weights lie along k; else its rows do.
    pub(crate) along_k: bool,
    /// The smallest and the largest inner size.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Every size on every kernel; else as [`lengths`](Self::lengths) says.
    pub(crate) everything: bool,
}

/// Operands with their values; rows of `a` and columns of `b` are longer than any size.
struct Data {
    a: TensorDesc,
    b: TensorDesc,
    bytes: [Vec<u8>; 2],
    /// For each row and column, the sums of the first products.
    sums: Vec<Vec<f64>>,
}

impl Data {
    fn hash(&self) -> String {
        let mut hash = Fnv::new();
        self.bytes.iter().for_each(|bytes| hash.update(bytes));
        hash.hex()
    }
}

impl EveryK {
    pub(crate) fn input_hash(&self) -> Result<String> {
        Ok(self.data()?.hash())
    }

    fn block(&self) -> usize {
        self.weight.block_elements()
    }

    /// Elements of a row of `a` and of a column of `b`.
    fn stride(&self) -> usize {
        MOST_K + self.block().max(8)
    }

    /// The product of size `k`.
    pub(crate) fn desc(&self, k: usize) -> Result<OpDesc> {
        let k = k.next_multiple_of(self.block());
        let a = TensorDesc::strided(DType::F32, &[self.m, k], &[self.stride(), 1])?;
        let strides = if self.along_k { [1, self.stride()] } else { [COLUMNS, 1] };
        let b = TensorDesc::strided(self.weight, &[k, COLUMNS], &strides)?;
        OpDesc::new(Op::MatMul, vec![a, b], vec![TensorDesc::contiguous(DType::F32, &[self.m, COLUMNS])?])
    }

    /// The sizes to run, growing. With f32 weights along k and one row the selected kernel runs every
    /// one to 16,384 and one in 61 above; else every small one. All run those around powers of two,
    /// as far as is quick. The exhaustive level leaves none out.
    pub(crate) fn lengths(&self, selected: bool) -> Vec<usize> {
        let one_row = selected && self.m == 1;
        let most_sizes = one_row && self.along_k && self.weight == DType::F32;
        let (dense, most) = if one_row { (DENSE, MOST_K) } else { (DENSE / 8, MOST_K / 16) };
        let block = self.block();
        let edge = |k: usize| [k - block, k, k + block].iter().any(|k| k.is_power_of_two()) && k <= most + block;
        let sampled = |k: usize| most_sizes && (k <= EVERY || k.is_multiple_of(STRIDE));
        let runs = |k: &usize| self.everything || *k <= dense || edge(*k) || sampled(*k);
        (self.from..=self.to).filter(|k| k.is_multiple_of(block)).filter(runs).collect()
    }

    fn data(&self) -> Result<Data> {
        let name = format!("every_k:{}", self.weight);
        let block = self.weight.is_block();
        let a = TensorDesc::contiguous(DType::F32, &[self.m, self.stride()])?;
        // In memory: columns one after the other, or rows of a few columns.
        let shape = if self.along_k { [COLUMNS, self.stride()] } else { [self.stride(), COLUMNS] };
        let b = TensorDesc::contiguous(self.weight, &shape)?;
        // Never zero, so that no term can be missed unseen.
        let units = if block { vec![1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0] } else { nonzero(&name) };
        let weights = if block { Fill::Blocks(Scales::Exact) } else { Fill::Cycle(nonzero("weights")) };
        let bytes = [
            fill_bytes(&a, &Fill::Cycle(units), &Stream::new(&name, 0)),
            fill_bytes(&b, &weights, &Stream::new(&name, 1)),
        ];
        let (x, w) = (decode(DType::F32, &bytes[0]), decode(self.weight, &bytes[1]));
        let mut sums = Vec::new();
        for row in x.chunks(self.stride()) {
            for column in 0..COLUMNS {
                let (first, step) = if self.along_k { (column * self.stride(), 1) } else { (column, COLUMNS) };
                let (mut sum, mut size) = (0.0, 0.0);
                let mut list = vec![0.0];
                for (x, w) in row.iter().zip(w[first..].iter().step_by(step)) {
                    sum += x * w;
                    size += (x * w).abs();
                    list.push(sum);
                }
                if size >= f64::from(1 << 24) {
                    return Err(Error::internal(format!("sums over {} are not exact in f32", self.weight)));
                }
                sums.push(list);
            }
        }
        Ok(Data { a, b, bytes, sums })
    }

    pub(crate) async fn run(
        &self,
        backend: &dyn Backend,
        kernel: &Arc<str>,
        selected: bool,
        result: &mut CaseResult,
    ) -> Result<()> {
        let data = self.data()?;
        result.input_hash = data.hash();
        let inputs = [upload(backend, &data.bytes[0])?, upload(backend, &data.bytes[1])?];
        let results = self.m * COLUMNS;
        let y = backend.alloc(&BufferDesc::new((4 * results * BATCH) as u64))?;
        let mut bindings = Bindings::new();
        for (i, buffer) in inputs.iter().chain([&y]).enumerate() {
            bindings.set(SlotId(i as u32), buffer.clone());
        }
        let mut outputs = Fnv::new();
        let (mut wrong, mut skipped, mut first) = (0usize, Vec::new(), None);
        let lengths = self.lengths(selected);
        for batch in lengths.chunks(BATCH) {
            let mut builder = ProgramBuilder::new();
            let a = builder.operand(SlotKind::Input, data.a);
            let b = builder.operand(SlotKind::Input, data.b);
            let out = builder.operand(SlotKind::Output, TensorDesc::contiguous(DType::F32, &[results * BATCH])?);
            let mut ran = Vec::new();
            for (i, &k) in batch.iter().enumerate() {
                let desc = self.desc(k)?;
                if !backend.kernels(&desc).contains(kernel) {
                    skipped.push(k);
                    continue;
                }
                let start = self.start(k);
                let at = |o: Operand, desc, offset| Operand { offset, ..o.with_desc(desc) };
                builder.push_step(Step {
                    op: Op::MatMul,
                    inputs: vec![
                        at(a, desc.inputs[0], start),
                        at(b, desc.inputs[1], start * if self.along_k { 1 } else { COLUMNS }),
                    ],
                    outputs: vec![at(out, desc.outputs[0], i * results)],
                    kernel: KernelChoice::Named(kernel.clone()),
                })?;
                ran.push((i, k));
            }
            backend.write(&y, 0, &vec![POISON_BYTE; 4 * results * BATCH])?;
            let plan = backend.compile(&builder.finish())?;
            finish(backend.submit(&plan, &bindings)?).await?;
            let bytes = download(backend, &y).await?;
            outputs.update(&bytes);
            let desc = TensorDesc::contiguous(DType::F32, &[results * BATCH])?;
            let values = read_logical(&desc, &bytes).ok_or_else(|| Error::internal("too few bytes came back"))?;
            for (i, k) in ran {
                let start = self.start(k);
                let mismatch = (0..results).find_map(|j| {
                    let expected = data.sums[j][start + k] - data.sums[j][start];
                    let actual = values[i * results + j];
                    (actual != expected).then_some((j, expected, actual))
                });
                if let Some((j, expected, actual)) = mismatch {
                    wrong += 1;
                    first.get_or_insert((k, j, expected, actual));
                }
            }
        }
        for (buffer, bytes) in inputs.iter().zip(&data.bytes) {
            if download(backend, buffer).await? != *bytes {
                result.status = Status::Fail;
                result.detail = "an input was written to".into();
                return Ok(());
            }
        }
        result.output_hash = outputs.hex();
        if skipped.len() == lengths.len() {
            result.status = Status::Unsupported;
            result.detail = "the kernel serves no size".into();
            return Ok(());
        }
        result.ratio = Some(Number(if wrong > 0 { f64::INFINITY } else { 0.0 }));
        result.status = if wrong > 0 { Status::Fail } else { Status::Pass };
        if let Some((k, j, expected, actual)) = first {
            let ran = lengths.len() - skipped.len();
            result.detail = format!("{wrong} of {ran} inner sizes are wrong, the first is k = {k}");
            let index = vec![k, j / COLUMNS, j % COLUMNS];
            let (expected, actual) = (Number(expected), Number(actual));
            result.worst = Some(Worst { output: 0, index, expected, actual, bound: Number(0.0) });
        }
        Ok(())
    }

    /// Where the views of size `k` begin.
    fn start(&self, k: usize) -> usize {
        if self.weight.is_block() { k / self.block() % 2 * self.block() } else { usize::from(k.is_multiple_of(5)) }
    }
}

/// A prime number of integers from 1 to 8 with either sign.
fn nonzero(name: &str) -> Vec<f64> {
    let stream = Stream::new(name, 9);
    let one = |i: u64| (stream.below(2 * i, 8) + 1) as f64 * if stream.bits(2 * i + 1) & 1 == 0 { 1.0 } else { -1.0 };
    (0..if name == "weights" { 997 } else { 1009 }).map(one).collect()
}
