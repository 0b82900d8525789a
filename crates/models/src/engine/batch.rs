//! Several texts in one batch: each step takes the next token of every text that has one and fills
//! up with pieces of prompts, so that prompts and single tokens of any length run together. Texts
//! join and leave between steps.

use unisono_core::{Error, Result, Tensor};

use crate::engine::cache::Layout;
use crate::engine::finite;
use crate::engine::runner::{Runner, Want, floats, tokens};
use crate::engine::wait::fetch;
use crate::model::Model;

/// How the key-value cache of a batch is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// Every text has memory for a whole context.
    Contiguous,
    /// Texts share a pool of pages and take one more when they grow into it.
    Paged {
        /// Pages of the pool.
        pages: usize,
        /// Tokens of a page.
        page_size: usize,
    },
}

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most texts at once.
    pub sequences: usize,
    /// The key-value cache.
    pub cache: CacheKind,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions { sequences: 8, cache: CacheKind::Contiguous }
    }
}

/// A text of a [`Batch`]. The number is never used again in the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(u64);

/// Several texts that a model continues together.
///
/// [`add`](Self::add) takes a prompt, each step returns a prediction for every text whose tokens
/// have all been read, [`push`](Self::push) says how such a text goes on (or it waits), and
/// [`remove`](Self::remove) ends it. Methods that compute have an `_async` form for every target
/// and, on native ones, a blocking form without the suffix.
#[derive(Debug)]
pub struct Batch {
    runner: Runner,
    /// The text of each cache.
    sequences: Vec<Option<Sequence>>,
    next: u64,
    /// Texts whose logits were not finite in the last step.
    failed: Vec<SequenceId>,
}

#[derive(Debug)]
struct Sequence {
    id: SequenceId,
    tokens: Vec<u32>,
    /// How many of the tokens are in the cache.
    read: usize,
}

/// The tokens that a step runs.
struct Plan {
    /// Token, position and cache.
    entries: Vec<(u32, usize, usize)>,
    /// Caches and how many tokens they have after the step.
    lens: Vec<(usize, usize)>,
    /// The last tokens of texts that are read to their end, and whose they are.
    wanted: Vec<usize>,
    ids: Vec<SequenceId>,
}

/// What a step delivered.
struct Ran {
    output: Tensor,
    /// The rows of the output that belong to texts.
    rows: Vec<usize>,
    /// Whose they are.
    ids: Vec<SequenceId>,
}

impl Batch {
    pub(crate) fn new(model: &Model, options: &BatchOptions) -> Result<Batch> {
        let (caches, context_len) = (options.sequences, model.context_len());
        let layout = match options.cache {
            CacheKind::Contiguous => Layout::Contiguous { caches, context_len },
            CacheKind::Paged { pages, page_size } => Layout::Paged { pages, page_size },
        };
        let rows = match options.cache {
            CacheKind::Contiguous => caches.checked_mul(context_len),
            CacheKind::Paged { pages, page_size } => pages.checked_mul(page_size),
        };
        if caches == 0 || rows.is_none_or(|rows| rows == 0 || u32::try_from(rows).is_err()) {
            let message = format!("{caches} texts in a cache of {layout:?}: sizes are at least 1, and rows below 2³²");
            return Err(Error::invalid(message));
        }
        let runner = Runner::new(model, layout, caches)?;
        Ok(Batch { runner, sequences: (0..caches).map(|_| None).collect(), next: 0, failed: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.runner.model()
    }

    /// Adds a text that begins with `tokens`. Fails on no tokens, on one outside the vocabulary, on
    /// more than a context or the whole cache can hold, and if there are as many texts as can be.
    pub fn add(&mut self, tokens: &[u32]) -> Result<SequenceId> {
        self.check(tokens, tokens.len())?;
        let most = self.sequences.len();
        let slot = self.sequences.iter_mut().find(|s| s.is_none());
        let slot =
            slot.ok_or_else(|| Error::invalid(format!("the batch has {most} texts already, as many as it can")))?;
        let id = SequenceId(self.next);
        self.next += 1;
        *slot = Some(Sequence { id, tokens: tokens.to_vec(), read: 0 });
        Ok(id)
    }

    /// Continues a text with one token.
    pub fn push(&mut self, id: SequenceId, token: u32) -> Result<()> {
        let (cache, len) = self.find(id).map(|(cache, s)| (cache, s.tokens.len()))?;
        self.check(&[token], len + 1)?;
        if let Some(sequence) = self.sequences.get_mut(cache).and_then(Option::as_mut) {
            sequence.tokens.push(token);
        }
        Ok(())
    }

    /// Ends a text; its place and its pages are free.
    pub fn remove(&mut self, id: SequenceId) -> Result<()> {
        let (cache, _) = self.find(id)?;
        self.runner.placement.truncate(cache, 0);
        if let Some(slot) = self.sequences.get_mut(cache) {
            *slot = None;
        }
        Ok(())
    }

    /// Forgets all tokens of a text but the first `len` (at least one), and gives back the pages
    /// of the others. The last token left is read again if it had been, so the next step predicts
    /// what follows it.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<()> {
        let (cache, _) = self.find(id)?;
        if len == 0 {
            return Err(Error::invalid("a text has at least one token; remove ends it"));
        }
        if let Some(sequence) = self.sequences.get_mut(cache).and_then(Option::as_mut) {
            sequence.tokens.truncate(len);
            sequence.read = sequence.read.min(sequence.tokens.len() - 1);
            self.runner.placement.truncate(cache, sequence.read);
        }
        Ok(())
    }

    /// The tokens of a text.
    pub fn tokens(&self, id: SequenceId) -> Result<&[u32]> {
        Ok(&self.find(id)?.1.tokens)
    }

    /// How many more tokens a text can have.
    pub fn remaining(&self, id: SequenceId) -> Result<usize> {
        Ok(self.model().context_len() - self.find(id)?.1.tokens.len())
    }

    /// The texts, in no order.
    pub fn sequences(&self) -> impl Iterator<Item = SequenceId> {
        self.sequences.iter().flatten().map(|s| s.id)
    }

    /// Pages that are free and pages there are; `None` if the cache is not paged.
    pub fn pages(&self) -> Option<[usize; 2]> {
        self.runner.placement.pages()
    }

    /// Whether a step has anything to do.
    pub fn has_work(&self) -> bool {
        self.sequences.iter().flatten().any(|s| s.read < s.tokens.len())
    }

    /// Runs one step and returns, for each text that is read to its end by it, the logits that
    /// predict its next token. Long prompts take several steps; [`has_work`](Self::has_work) says
    /// whether there is more to read.
    ///
    /// Where a paged cache has too few free pages for the step the error says how many there are
    /// and were asked for, and nothing has changed: end a text and go on. Where logits are not finite
    /// the error says so, and [`failed`](Self::failed) whose: end those texts and go on, the next step
    /// predicts for the others again.
    pub async fn step_logits_async(&mut self) -> Result<Vec<(SequenceId, Vec<f32>)>> {
        let Some(Ran { output, rows, ids }) = self.run(Want::Logits)? else { return Ok(Vec::new()) };
        let end = rows.iter().max().map_or(0, |&last| last + 1);
        let read = floats(&fetch(output.slice(0, 0..end)?.read()).await?);
        let vocab = self.model().config().vocab_size;
        let row = |i: usize| read.get(i * vocab..(i + 1) * vocab).map(<[f32]>::to_vec).unwrap_or_default();
        let found = ids.iter().copied().zip(rows).map(|(id, i)| (id, row(i))).collect::<Vec<_>>();
        let bad = found.iter().filter(|(_, row)| !row.iter().all(|z| z.is_finite())).map(|(id, _)| *id).collect();
        self.all_finite(&ids, bad)?;
        Ok(found)
    }

    /// [`step_logits_async`](Self::step_logits_async) that chooses the most likely next tokens on
    /// the device (the lowest of equals) and reads nothing else.
    pub async fn step_tokens_async(&mut self) -> Result<Vec<(SequenceId, u32)>> {
        let Some(Ran { output, rows, ids }) = self.run(Want::Tokens)? else { return Ok(Vec::new()) };
        let read = tokens(&fetch(output.read()).await?);
        let (mut found, mut bad) = (Vec::with_capacity(ids.len()), Vec::new());
        for (&id, i) in ids.iter().zip(rows) {
            match read.get(i).ok_or_else(|| Error::internal("a step has too few tokens"))? {
                Some(token) => found.push((id, *token)),
                None => bad.push(id),
            }
        }
        self.all_finite(&ids, bad)?;
        Ok(found)
    }

    /// The texts whose logits were not finite in the last step, which failed for that.
    pub fn failed(&self) -> &[SequenceId] {
        &self.failed
    }

    /// Fails where there are texts with logits that are not finite. What was predicted for the texts
    /// `ids` is forgotten, so that the next step predicts it again.
    fn all_finite(&mut self, ids: &[SequenceId], bad: Vec<SequenceId>) -> Result<()> {
        self.failed = bad;
        let Some(&first) = self.failed.first() else { return Ok(()) };
        let len = self.find(first)?.1.tokens.len();
        let what = format!("the logits after token {len} of text {}", first.0);
        for &id in ids {
            let len = self.find(id)?.1.tokens.len();
            self.truncate(id, len)?;
        }
        Err(finite::error(self.model(), &what))
    }

    /// The cache and the text of a number.
    fn find(&self, id: SequenceId) -> Result<(usize, &Sequence)> {
        let mut found = self.sequences.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?)));
        found.find(|(_, s)| s.id == id).ok_or_else(|| Error::invalid(format!("text {} is not in the batch", id.0)))
    }

    fn check(&self, tokens: &[u32], len: usize) -> Result<()> {
        self.model().check_tokens(tokens)?;
        let context_len = self.model().context_len();
        if len > context_len {
            return Err(Error::invalid(format!("a text of {len} tokens does not fit the context of {context_len}")));
        }
        self.runner.placement.check(len)
    }

    /// What the next step runs: first the texts with one token to read, then the longer ones in
    /// the order they were added, as far as there is room.
    fn plan(&self) -> Plan {
        let mut waiting: Vec<(usize, &Sequence)> =
            self.sequences.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?))).collect();
        waiting.retain(|(_, s)| s.read < s.tokens.len());
        waiting.sort_by_key(|(_, s)| (s.tokens.len() - s.read > 1, s.id));
        let mut plan = Plan { entries: Vec::new(), lens: Vec::new(), wanted: Vec::new(), ids: Vec::new() };
        for (cache, sequence) in waiting {
            let room = self.runner.max_tokens() - plan.entries.len();
            let end = sequence.tokens.len().min(sequence.read + room);
            let new = sequence.tokens.iter().enumerate().take(end).skip(sequence.read);
            plan.entries.extend(new.map(|(position, &token)| (token, position, cache)));
            if end > sequence.read {
                plan.lens.push((cache, end));
            }
            if end == sequence.tokens.len() {
                plan.wanted.push(plan.entries.len() - 1);
                plan.ids.push(sequence.id);
            }
        }
        plan
    }

    /// Runs one step; `None` if it delivers nothing.
    fn run(&mut self, want: Want) -> Result<Option<Ran>> {
        self.failed.clear();
        let plan = self.plan();
        if plan.entries.is_empty() {
            return Ok(None);
        }
        self.runner.placement.reserve(&plan.lens)?;
        let want = if plan.wanted.is_empty() { Want::Nothing } else { want };
        let (output, rows) = self.runner.run(&plan.entries, &plan.wanted, want)?;
        for &(cache, len) in &plan.lens {
            if let Some(sequence) = self.sequences.get_mut(cache).and_then(Option::as_mut) {
                sequence.read = len;
            }
        }
        Ok(output.map(|output| Ran { output, rows, ids: plan.ids }))
    }
}

#[cfg(not(target_family = "wasm"))]
impl Batch {
    /// [`step_logits_async`](Self::step_logits_async), waiting for the result.
    pub fn step_logits(&mut self) -> Result<Vec<(SequenceId, Vec<f32>)>> {
        crate::engine::wait::block_on(self.step_logits_async())
    }

    /// [`step_tokens_async`](Self::step_tokens_async), waiting for the result.
    pub fn step_tokens(&mut self) -> Result<Vec<(SequenceId, u32)>> {
        crate::engine::wait::block_on(self.step_tokens_async())
    }
}
