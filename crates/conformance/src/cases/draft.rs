//! From a family's row of parameters to a [`Case`]: names it, checks it against the contract and
//! gives every operand an offset.

use unisono_core::op::Op;
use unisono_core::{DType, OpDesc, Result, TensorDesc};

use super::Sink;
use crate::case::{Case, CaseClass, DataClass, Level};
use crate::data::{Fill, Stream};

/// A case under construction.
pub(super) struct Draft {
    family: &'static str,
    name: &'static str,
    params: String,
    op: Op,
    inputs: Vec<TensorDesc>,
    fills: Vec<Fill>,
    outputs: Vec<TensorDesc>,
    initial: Option<Fill>,
    data: DataClass,
    level: Level,
    class: CaseClass,
    dtype: Option<DType>,
    seed: u64,
}

impl Draft {
    /// `family/name:params,data=…:seed=1`, full and counted unless said otherwise.
    pub(super) fn new(op: Op, name: &'static str, params: impl Into<String>, data: DataClass) -> Draft {
        Draft {
            family: op.name(),
            name,
            params: params.into(),
            op,
            inputs: Vec::new(),
            fills: Vec::new(),
            outputs: Vec::new(),
            initial: None,
            data,
            level: Level::Full,
            class: CaseClass::Counted,
            dtype: None,
            seed: 1,
        }
    }

    /// The next input and what fills it.
    pub(super) fn input(mut self, desc: TensorDesc, fill: Fill) -> Draft {
        self.inputs.push(desc);
        self.fills.push(fill);
        self
    }

    /// The next output.
    pub(super) fn output(mut self, desc: TensorDesc) -> Draft {
        self.outputs.push(desc);
        self
    }

    /// The former content of the output.
    pub(super) fn initial(mut self, fill: Fill) -> Draft {
        self.initial = Some(fill);
        self
    }

    /// Moves the case to the quick level where `quick` holds.
    pub(super) fn quick_if(mut self, quick: bool) -> Draft {
        if quick {
            self.level = Level::Quick;
        }
        self
    }

    /// Makes the case informative.
    pub(super) fn informative(mut self) -> Draft {
        self.class = CaseClass::Informative;
        self
    }

    /// The type under which reports list the case; without it, that of the first input.
    pub(super) fn dtype(mut self, dtype: DType) -> Draft {
        self.dtype = Some(dtype);
        self
    }

    /// Adds the case to `sink`, or says what is wrong with it.
    pub(super) fn add(self, sink: Sink<'_>) -> Result<()> {
        let separator = if self.params.is_empty() { "" } else { "," };
        let id = format!(
            "{}/{}:{}{separator}data={}:seed={}",
            self.family,
            self.name,
            self.params,
            self.data.name(),
            self.seed
        );
        let desc = OpDesc::new(self.op, self.inputs, self.outputs)?;
        // Half of the cases are aligned, so that kernels with vector loads run as well.
        let stream = Stream::new(&id, usize::MAX);
        let aligned = stream.below(0, 2) == 0;
        let offset = |i: usize| if aligned { 0 } else { [0, 1, 3, 2][stream.below(i as u64 + 1, 4) as usize] };
        let offsets = (0..desc.inputs.len() + desc.outputs.len()).map(offset).collect();
        let dtype = self.dtype.or(desc.inputs.first().map(|d| d.dtype)).unwrap_or(DType::F32);
        sink.push(Case {
            id,
            family: self.family,
            level: self.level,
            class: self.class,
            desc,
            offsets,
            data: self.data,
            seed: self.seed,
            dtype,
            fills: self.fills,
            initial: self.initial,
        });
        Ok(())
    }
}
