//! Does a device compute a whole model correctly? Golden tokens must be equal, golden logits must
//! lie within a bound.
//!
//! # The bound on logits
//!
//! A logit is `z_v = Σ_i w_vi · g_i · x_i` with `w` the output projection, `g` the weight of the
//! final norm and `x` the normalised residual, `‖x‖₂ = √d` (`d` the hidden size). If the computed
//! `x` differs from the exact one by a relative `ε` in the 2-norm, then by Cauchy–Schwarz
//!
//! `|Δz_v| ≤ ε · √d · ‖w_v ∘ g‖₂`.
//!
//! This step is a theorem. `ε` is a model of rounding: the residual passes `2·L` sublayers and one
//! norm; each adds a relative error of the size of its longest reduction, `√K·u` with
//! `K = max(d, intermediate, heads · head_dim)` (Higham & Mary 2019: rounding errors of a sum of
//! `K` terms grow like `√K·u` with high probability, in any order) and `u = 2⁻²³`, which allows any
//! rounding direction. They add up over the sublayers, and a constant stands for the conditioning
//! of the network, the few operations of a sublayer besides its reduction (the exponentials of
//! attention and SiLU above all) and the error of the golden itself:
//!
//! `ε = C · (2·L + 1) · √K · u`, `C = 2`.
//!
//! `C` is stated, not derived. The tests hold it from both sides: correct devices stay far below
//! the bound, and small faults (another `eps` or `theta`) exceed it.

use std::time::Duration;

use unisono_core::{DType, Device, Error, Result};
use web_time::Instant;

use super::goldens::{Golden, Goldens};
use crate::config::ModelConfig;
use crate::engine::Session;
use crate::engine::rate;
use crate::formats::Source;
use crate::formats::Weights;
use crate::model::{Model, ModelOptions};

/// The constant of the bound.
const C: f64 = 2.0;
/// Tokens that are decoded one by one after a prompt that is not the first.
const FEW_STEPS: usize = 8;

/// The outcome of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// One result for each golden prompt.
    pub prompts: Vec<PromptResult>,
    /// Largest `|logit − golden|`.
    pub max_err: f64,
    /// Largest `|logit − golden| / bound`; over 1 is a failure.
    pub max_err_over_bound: f64,
    /// Prompt tokens per second, over all prompts. It includes what is compiled at first use.
    pub prompt_tokens_per_second: f64,
    /// Decoded tokens per second, over all prompts.
    pub decode_tokens_per_second: f64,
}

/// The outcome for one golden prompt.
#[derive(Clone, Debug)]
pub struct PromptResult {
    /// The prompt.
    pub prompt: String,
    /// The text that the device generated.
    pub text: String,
    /// Whether the tokenizer gives the golden tokens of the prompt.
    pub tokenized: bool,
    /// Greedy tokens, each predicted after the golden ones before it.
    pub tokens: usize,
    /// How many of them are equal to the golden ones.
    pub tokens_equal: usize,
    /// Largest `|logit − golden|`, infinite where a logit is not a number.
    pub max_err: f64,
    /// Largest `|logit − golden| / bound`, likewise.
    pub max_err_over_bound: f64,
}

impl PromptResult {
    /// Whether tokens are equal and logits within the bound.
    pub fn passed(&self) -> bool {
        self.tokenized && self.tokens_equal == self.tokens && self.max_err_over_bound <= 1.0
    }
}

impl Verification {
    /// Whether every prompt passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.prompts.is_empty() && self.prompts.iter().all(PromptResult::passed)
    }
}

/// The bound of each logit, see the module's documentation: `[vocab]`.
fn logit_bounds(source: &Source, config: &ModelConfig) -> Result<Vec<f64>> {
    let weights = Weights::open(source)?;
    let head = if config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
    let head = host_f32(&weights, head, &[config.vocab_size, config.hidden_size])?;
    let norm = host_f32(&weights, "model.norm.weight", &[config.hidden_size])?;
    let k = config.hidden_size.max(config.intermediate_size).max(config.num_attention_heads * config.head_dim);
    let sublayers = (2 * config.num_hidden_layers + 1) as f64;
    let epsilon = C * sublayers * (k as f64).sqrt() * f64::from(f32::EPSILON);
    let scale = epsilon * (config.hidden_size as f64).sqrt();
    let row_norm = |row: &[f32]| {
        let products = row.iter().zip(&norm).map(|(&w, &g)| f64::from(w) * f64::from(g));
        products.map(|p| p * p).sum::<f64>().sqrt()
    };
    Ok(head.chunks(config.hidden_size).map(|row| scale * row_norm(row)).collect())
}

fn host_f32(weights: &Weights<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let (dtype, bytes) = weights.bytes(name, shape)?;
    Ok(match dtype {
        DType::F16 => bytes.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
        DType::BF16 => bytes.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect(),
        _ => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
    })
}

/// Errors against golden logits so far.
#[derive(Default)]
struct Worst {
    err: f64,
    ratio: f64,
}

impl Worst {
    fn compare(&mut self, logits: &[f32], golden: &[f32], bounds: &[f64]) -> Result<()> {
        if logits.len() != golden.len() || logits.len() != bounds.len() {
            return Err(Error::invalid(format!("{} logits, {} golden ones", logits.len(), golden.len())));
        }
        for ((&z, &g), &bound) in logits.iter().zip(golden).zip(bounds) {
            let err = (f64::from(z) - f64::from(g)).abs();
            // A bound of 0 allows only equality; what is not a number passes nothing.
            let ratio = if err == 0.0 { 0.0 } else { err / bound };
            self.err = self.err.max(if err.is_nan() { f64::INFINITY } else { err });
            self.ratio = self.ratio.max(if ratio.is_nan() { f64::INFINITY } else { ratio });
        }
        Ok(())
    }
}

/// Index of the largest, the lowest of equals.
fn argmax(logits: &[f32]) -> u32 {
    let better = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).reduce(better).unwrap_or(0) as u32
}

/// Time and tokens of prompts and of decode steps.
#[derive(Default)]
struct Timing {
    prompt: (usize, Duration),
    decode: (usize, Duration),
}

/// Runs `source` on `device` (f32 cache) and compares with its goldens: each prompt once as a whole
/// (prefill in chunks), and step by step (decode, greedy tokens chosen on the device): the first one to
/// its end, the others for a few steps, since a step costs much and shows little that another one did
/// not. Tokens are compared at every position, logits at every golden one, in both ways.
pub async fn verify_source_async(device: &Device, source: &Source, goldens: &Goldens) -> Result<Verification> {
    let model = Model::load(device, source, &ModelOptions::default())?;
    let bounds = logit_bounds(source, model.config())?;
    let mut session = model.session()?;
    let mut timing = Timing::default();
    let mut prompts = Vec::new();
    for (i, golden) in goldens.prompts.iter().enumerate() {
        let steps = if i == 0 { usize::MAX } else { FEW_STEPS };
        prompts.push(verify_prompt(&mut session, golden, steps, &bounds, &mut timing).await?);
    }
    let largest = |of: fn(&PromptResult) -> f64| prompts.iter().map(of).fold(0.0, f64::max);
    Ok(Verification {
        max_err: largest(|p| p.max_err),
        max_err_over_bound: largest(|p| p.max_err_over_bound),
        prompt_tokens_per_second: rate(timing.prompt.0, timing.prompt.1),
        decode_tokens_per_second: rate(timing.decode.0, timing.decode.1),
        prompts,
    })
}

async fn verify_prompt(
    session: &mut Session,
    golden: &Golden,
    steps: usize,
    bounds: &[f64],
    timing: &mut Timing,
) -> Result<PromptResult> {
    let model = session.model().clone();
    let tokenizer = model.tokenizer()?;
    let prompt = &golden.prompt_ids;
    let all: Vec<u32> = prompt.iter().chain(&golden.generated_ids).copied().collect();
    let mut worst = Worst::default();
    let mut stepped = Vec::new();

    // Step by step. Golden tokens are fed, so that one wrong token does not spoil the rest.
    session.reset();
    for position in (prompt.len() - 1..all.len() - 1).take(steps) {
        let step = Instant::now();
        let is_prompt = position == prompt.len() - 1;
        let fed = if is_prompt { prompt } else { &all[position..=position] };
        match golden.positions.iter().position(|&p| p == position) {
            Some(i) => {
                let logits = session.prefill_async(fed).await?;
                worst.compare(&logits, &golden.logits[i], bounds)?;
                stepped.push(argmax(&logits));
            }
            None => stepped.push(session.prefill_token_async(fed).await?),
        }
        let (count, time) = if is_prompt { &mut timing.prompt } else { &mut timing.decode };
        *count += fed.len();
        *time += step.elapsed();
    }

    // As a whole.
    session.reset();
    let logits = session.all_logits_async(&all[..all.len() - 1]).await?;
    let rows: Vec<&[f32]> = logits.chunks(bounds.len()).collect();
    for (&position, golden) in golden.positions.iter().zip(&golden.logits) {
        worst.compare(rows.get(position).copied().unwrap_or_default(), golden, bounds)?;
    }

    // What the steps said comes first; a token counts where both ways give it.
    let after_prompt = rows.iter().skip(prompt.len() - 1).take(golden.generated_ids.len());
    let whole: Vec<u32> = after_prompt.map(|row| argmax(row)).collect();
    let predicted: Vec<u32> = stepped.iter().chain(whole.iter().skip(stepped.len())).copied().collect();
    let both = predicted.iter().zip(&whole).zip(&golden.generated_ids);
    let equal = both.filter(|((step, whole), golden)| step == golden && whole == golden).count();
    Ok(PromptResult {
        prompt: golden.prompt.clone(),
        text: tokenizer.decode(&predicted)?,
        tokenized: tokenizer.encode(&golden.prompt, true)? == *prompt,
        tokens: golden.generated_ids.len(),
        tokens_equal: equal,
        max_err: worst.err,
        max_err_over_bound: worst.ratio,
    })
}

/// [`verify_source_async`], waiting for the result.
#[cfg(not(target_family = "wasm"))]
pub fn verify_source(device: &Device, source: &Source, goldens: &Goldens) -> Result<Verification> {
    crate::engine::wait::block_on(verify_source_async(device, source, goldens))
}
