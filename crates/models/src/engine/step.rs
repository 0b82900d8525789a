//! What changes from step to step, as one small integer tensor: the recorded program is the same
//! at every step.
//!
//! A step packs tokens of any number of texts. Networks see the tokens and their positions; whose
//! cache a token reads and where its keys and values go is for the cache alone.

use unisono_core::{Result, Tensor};

/// The sizes of a step's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepShape {
    /// Tokens, padding included.
    pub(crate) n: usize,
    /// Tokens whose results are gathered; `None` takes all, in order.
    pub(crate) wanted: Option<usize>,
    /// Whether each token names its cache.
    pub(crate) sequences: bool,
    /// Caches and the most pages of each, if the cache is paged.
    pub(crate) table: Option<[usize; 2]>,
}

/// One token of a step, as the host knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) token: u32,
    /// Its place in its text.
    pub(crate) position: usize,
    /// The cache of its text.
    pub(crate) cache: usize,
    /// The row of all caches that its keys and values go to.
    pub(crate) row: usize,
}

impl StepShape {
    /// Number of elements of the packed tensor.
    pub(crate) fn packed_len(self) -> usize {
        let table: usize = self.table.map_or(0, |[caches, pages]| caches * pages);
        (4 + usize::from(self.sequences)) * self.n + table + self.wanted.unwrap_or(0)
    }

    /// The packed tensor's content. Padding writes to rows from `rows` on, which do not exist
    /// (distinct, because indices of a scatter are), and sees nothing. `table` has the pages of
    /// each cache; what is wanted beyond `wanted` repeats token 0.
    pub(crate) fn pack(self, entries: &[Entry], rows: usize, table: &[u32], wanted: &[usize]) -> Vec<u32> {
        let n = self.n;
        let padding = n.saturating_sub(entries.len());
        let mut packed = Vec::with_capacity(self.packed_len());
        let mut column = |of: &dyn Fn(&Entry) -> usize| {
            packed.extend(entries.iter().map(|e| of(e) as u32).chain(std::iter::repeat_n(0, padding)));
        };
        column(&|e| e.token as usize);
        column(&|e| e.position);
        column(&|e| e.row);
        column(&|e| e.position + 1);
        if self.sequences {
            column(&|e| e.cache);
        }
        (entries.len()..n).for_each(|i| packed[2 * n + i] = (rows + i) as u32);
        packed.extend_from_slice(table);
        if let Some(most) = self.wanted {
            packed.extend(wanted.iter().map(|&i| i as u32).chain(std::iter::repeat(0)).take(most));
        }
        packed
    }
}

/// What a step of `n` tokens is given: views of one packed u32 tensor.
#[derive(Debug)]
pub(crate) struct StepInputs {
    /// Token ids, `[n]`.
    pub(crate) tokens: Tensor,
    /// Positions of the tokens in their texts, `[n]`.
    pub(crate) positions: Tensor,
    /// Where keys and values go among the rows of all caches, `[n]`. A row that does not exist
    /// takes nothing: padding.
    pub(super) rows: Tensor,
    /// How many keys of its cache each token sees, `[n]`.
    pub(super) limits: Tensor,
    /// The cache of each token, `[n]`; all read the only one if absent.
    pub(super) sequences: Option<Tensor>,
    /// The pages of each cache, `[caches, pages]`, if the cache is paged.
    pub(super) table: Option<Tensor>,
    /// Whether the tokens are few enough to be a batch of texts rather than a run of one.
    pub(super) single: bool,
    /// The tokens whose results are wanted, `[wanted]`.
    pub(super) wanted: Option<Tensor>,
}

impl StepInputs {
    /// The parts of the packed tensor. `single` says that most tokens are of different texts.
    pub(crate) fn unpack(packed: &Tensor, shape: StepShape, single: bool) -> Result<StepInputs> {
        let mut start = 0;
        let mut take = |len: usize| {
            start += len;
            packed.slice(0, start - len..start)
        };
        let n = shape.n;
        let (tokens, positions, rows, limits) = (take(n)?, take(n)?, take(n)?, take(n)?);
        let sequences = shape.sequences.then(|| take(n)).transpose()?;
        let table = match shape.table {
            Some([caches, pages]) => Some(take(caches * pages)?.reshape(&[caches, pages])?),
            None => None,
        };
        let wanted = shape.wanted.map(take).transpose()?;
        Ok(StepInputs { tokens, positions, rows, limits, sequences, table, single, wanted })
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens.shape().iter().product()
    }
}
