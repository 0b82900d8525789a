//! Building an item operand by operand.

use unisono_core::{DType, Error, Op, OpDesc, Result, TensorDesc};

use super::Item;
use crate::data::{Patterns, Source};

/// An item that is being built. Errors are kept until the end.
pub(super) struct Draft<'a> {
    patterns: &'a mut Patterns,
    op: Op,
    inputs: Vec<(TensorDesc, Source)>,
    outputs: Vec<(TensorDesc, Option<Source>)>,
    weights: Vec<usize>,
    dtype: DType,
    error: Option<Error>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(op: Op, dtype: DType, patterns: &'a mut Patterns) -> Draft<'a> {
        Draft { patterns, op, inputs: vec![], outputs: vec![], weights: vec![], dtype, error: None }
    }

    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|e| self.error.get_or_insert(e).clone()).ok()
    }

    /// An input of ordinary numbers.
    pub(super) fn input(mut self, desc: Result<TensorDesc>) -> Draft<'a> {
        if let Some(desc) = self.keep(desc) {
            // One pattern for each place: the halves of a product must not be the same numbers.
            let name = ["first", "second", "third", "fourth", "fifth"][self.inputs.len().min(4)];
            let source = self.patterns.get(desc.dtype, name);
            self.inputs.push((desc, source));
        }
        self
    }

    /// An input of f32 activations.
    pub(super) fn activations(self, shape: &[usize]) -> Draft<'a> {
        self.input(TensorDesc::contiguous(DType::F32, shape))
    }

    /// A weight `[…, n, k]` of the draft's type, seen transposed.
    pub(super) fn weight(mut self, shape: &[usize]) -> Draft<'a> {
        let r = shape.len();
        self.weights.push(self.inputs.len());
        let desc = TensorDesc::contiguous(self.dtype, shape);
        self.input(desc.and_then(|d| d.transposed(r - 2, r - 1)))
    }

    /// An input of `u32` numbers.
    pub(super) fn numbers(mut self, shape: &[usize], numbers: impl IntoIterator<Item = u32>) -> Draft<'a> {
        if let Some(desc) = self.keep(TensorDesc::contiguous(DType::U32, shape)) {
            self.inputs.push((desc, Source::numbers(numbers)));
        }
        self
    }

    /// An output. One that is updated in place starts as zeros.
    pub(super) fn output(mut self, dtype: DType, shape: &[usize]) -> Draft<'a> {
        if let Some(desc) = self.keep(TensorDesc::contiguous(dtype, shape)) {
            let zeros = || Source::Bytes(Vec::new().into());
            let initial = self.op.updates_in_place(self.outputs.len()).then(zeros);
            self.outputs.push((desc, initial));
        }
        self
    }

    /// The item, under `set/shape/name:parameters`.
    pub(super) fn finish(self, set: &str, shape: &str, name: &str, parameters: &str) -> Result<Item> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (descs, inputs) = self.inputs.into_iter().unzip();
        let (outputs, initial): (Vec<TensorDesc>, _) = self.outputs.into_iter().unzip();
        Ok(Item {
            id: format!("{set}/{shape}/{name}:{parameters}"),
            set: set.to_owned(),
            shape: shape.to_owned(),
            dtype: self.dtype,
            desc: OpDesc::new(self.op, descs, outputs)?,
            inputs,
            initial,
            weights: self.weights,
            offsets: Vec::new(),
            case: None,
        })
    }
}

/// The types among `dtypes` whose blocks fit rows of `k` elements.
pub(super) fn fitting(dtypes: &[DType], k: usize) -> impl Iterator<Item = DType> {
    dtypes.iter().copied().filter(move |d| k.is_multiple_of(d.block_elements()))
}
