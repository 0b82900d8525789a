//! A device's logits against the golden ones. `docs/models.md` derives the bound.

use unisono::{Device, Result};
use unisono_models::{Model, ModelOptions, Pooling, Session, Source, TextEncoder};

use super::golden::{Golden, Sizes, Text};

/// The constant of the bound: stated, not derived.
const C: f64 = 1.0;

/// How a device did on one golden model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Largest `|logit − golden|`; of an encoder, of a hidden state. Infinite where something is not a
    /// number.
    pub(crate) max_err: f64,
    /// Largest error divided by its bound, likewise.
    pub(crate) ratio: f64,
    /// Greedy tokens whose margin exceeds twice the bound.
    pub(crate) tokens: usize,
    /// How many of them are the golden ones.
    pub(crate) tokens_equal: usize,
}

impl Outcome {
    /// Whether everything is within its bound and every token right.
    pub(crate) fn passed(&self) -> bool {
        self.ratio <= 1.0 && self.tokens_equal == self.tokens
    }

    fn compare(&mut self, actual: f32, golden: f32, bound: f64) {
        let err = (f64::from(actual) - f64::from(golden)).abs();
        // A bound of 0 allows only equality; what is not a number passes nothing.
        let ratio = if err == 0.0 { 0.0 } else { err / bound };
        self.max_err = self.max_err.max(if err.is_nan() { f64::INFINITY } else { err });
        self.ratio = self.ratio.max(if ratio.is_nan() { f64::INFINITY } else { ratio });
    }

    fn compare_rows(&mut self, actual: &[f32], golden: &[f32], bounds: &[f64]) {
        assert_eq!(actual.len(), golden.len(), "as many values as golden ones");
        for ((&a, &g), &bound) in actual.iter().zip(golden).zip(bounds.iter().cycle()) {
            self.compare(a, g, bound);
        }
    }
}

/// `ε · √d`: the relative error of a network times the length of a normalised state.
pub(crate) fn epsilon(sizes: &Sizes) -> f64 {
    let sublayers = (2 * sizes.layers + 1) as f64;
    let sum = (sizes.longest_sum as f64).sqrt();
    C * sublayers * sum * f64::from(f32::EPSILON) * (sizes.hidden as f64).sqrt()
}

impl Golden {
    /// The bound of each logit of a decoder, or of each element of an encoder's hidden states.
    pub(crate) fn bounds(&self) -> Vec<f64> {
        let scale = epsilon(&self.sizes);
        let lengths = if self.is_encoder() { &self.norm } else { &self.row_norms };
        lengths.iter().map(|&length| scale * f64::from(length).abs()).collect()
    }
}

/// Index of the largest, the lowest of equals.
fn argmax(logits: &[f32]) -> u32 {
    let better = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).reduce(better).unwrap_or(0) as u32
}

/// Runs a golden model on a device and compares: each text as a whole, in chunks of 8 tokens, and
/// step by step after its prompt.
pub(crate) fn run(device: &Device, golden: &Golden) -> Result<Outcome> {
    run_source(device, golden, &golden.source()?)
}

/// As [`run`], with a source that claims to be the golden model.
pub(crate) fn run_source(device: &Device, golden: &Golden, source: &Source) -> Result<Outcome> {
    let bounds = golden.bounds();
    if golden.is_encoder() {
        return run_encoder(device, golden, source, &bounds);
    }
    let mut outcome = Outcome::default();
    for prefill_chunk in [512, 8] {
        let options = ModelOptions { prefill_chunk, ..ModelOptions::default() };
        let model = Model::load(device, source, &options)?;
        let mut session = model.session()?;
        for text in &golden.texts {
            at_once(&mut session, text, &bounds, &mut outcome)?;
            hidden_states(&mut session, text, golden, &mut outcome)?;
            if prefill_chunk == 8 {
                step_by_step(&mut session, text, &bounds, &mut outcome)?;
            }
        }
    }
    Ok(outcome)
}

/// Hidden states and embeddings of all texts in one batch, and of each alone.
fn run_encoder(device: &Device, golden: &Golden, source: &Source, bounds: &[f64]) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let encoder = TextEncoder::load(device, source)?;
    let texts: Vec<&[u32]> = golden.texts.iter().map(|text| text.tokens.as_slice()).collect();
    let alone = texts.iter().map(|&text| Ok(encoder.hidden(&[text])?.remove(0))).collect::<Result<Vec<_>>>()?;
    for hidden in [encoder.hidden(&texts)?, alone] {
        for (hidden, text) in hidden.iter().zip(&golden.texts) {
            outcome.compare_rows(hidden, &text.hidden, bounds);
        }
    }
    // The mean m is off by no more than its terms are, so m / |m| by twice that over |m| at most.
    let off: f64 = bounds.iter().map(|bound| bound * bound).sum::<f64>().sqrt();
    let embeddings = encoder.embed(&texts, Pooling::Mean, true)?;
    for (embedding, text) in embeddings.iter().zip(&golden.texts) {
        let mean = (0..bounds.len()).map(|i| {
            let column = text.hidden.iter().skip(i).step_by(bounds.len());
            column.map(|&x| f64::from(x)).sum::<f64>() / text.tokens.len() as f64
        });
        let length = mean.map(|m| m * m).sum::<f64>().sqrt();
        outcome.compare_rows(embedding, &text.embedding, &[2.0 * off / length]);
    }
    Ok(outcome)
}

/// Logits after every token from one call.
fn at_once(session: &mut Session, text: &Text, bounds: &[f64], outcome: &mut Outcome) -> Result<()> {
    session.reset();
    let logits = session.all_logits(&text.tokens)?;
    let rows: Vec<&[f32]> = logits.chunks(bounds.len()).collect();
    assert_eq!(rows.len(), text.tokens.len(), "a row of logits for each token");
    for (&position, golden) in text.positions.iter().zip(text.logits.chunks(bounds.len())) {
        outcome.compare_rows(rows[position], golden, bounds);
    }
    count_tokens(text, bounds, outcome, |position| argmax(rows[position]));
    Ok(())
}

/// Hidden states `h = g ∘ x`, whose difference is `max |g| · ε · √d` long at most. The rule makes
/// weights of norms between 0.7 and 1.3.
fn hidden_states(session: &mut Session, text: &Text, golden: &Golden, outcome: &mut Outcome) -> Result<()> {
    const LARGEST_WEIGHT: f64 = 1.3;
    session.reset();
    let width = golden.sizes.hidden;
    let hidden = session.all_hidden(&text.tokens)?;
    assert_eq!(hidden.len(), text.tokens.len() * width, "a hidden state for each token");
    assert_eq!(text.hidden.len(), text.states.len() * width, "a golden state for each position");
    for (&position, golden_state) in text.states.iter().zip(text.hidden.chunks(width)) {
        let state = &hidden[position * width..(position + 1) * width];
        let squares = state.iter().zip(golden_state).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
        let ratio = squares.sum::<f64>().sqrt() / (LARGEST_WEIGHT * epsilon(&golden.sizes));
        outcome.ratio = outcome.ratio.max(if ratio.is_nan() { f64::INFINITY } else { ratio });
    }
    Ok(())
}

/// The prompt, then token by token. Golden tokens are fed, so that one wrong token does not spoil the
/// rest.
fn step_by_step(session: &mut Session, text: &Text, bounds: &[f64], outcome: &mut Outcome) -> Result<()> {
    session.reset();
    let mut predicted = Vec::new();
    for position in text.prompt - 1..text.tokens.len() {
        let fed =
            if position + 1 == text.prompt { &text.tokens[..text.prompt] } else { &text.tokens[position..=position] };
        let logits = session.prefill(fed)?;
        if let Some(i) = text.positions.iter().position(|&p| p == position) {
            outcome.compare_rows(&logits, &text.logits[i * bounds.len()..(i + 1) * bounds.len()], bounds);
        }
        predicted.push(argmax(&logits));
    }
    count_tokens(text, bounds, outcome, |position| predicted[position + 1 - text.prompt]);
    Ok(())
}

/// Compares the tokens predicted after each position of the continuation. Where the two best are
/// nearer than what both logits may be off, either may win.
fn count_tokens(text: &Text, bounds: &[f64], outcome: &mut Outcome, predicted: impl Fn(usize) -> u32) {
    let largest = bounds.iter().copied().fold(0.0, f64::max);
    if text.min_top2_gap <= 2.0 * largest {
        return;
    }
    for position in text.prompt - 1..text.tokens.len() - 1 {
        outcome.tokens += 1;
        outcome.tokens_equal += usize::from(predicted(position) == text.tokens[position + 1]);
    }
}
