//! Choosing a token from logits.
//!
//! The filters run in one order, each on what the one before left: repetition penalty, temperature,
//! top-k, top-p, min-p; then one token is drawn by the probabilities of those that remain. Tokens
//! are ordered by their logits, the lower number first among equals, so every filter is well
//! defined with ties. Exponentials are computed in f64 by `libm` and random numbers by PCG32: the
//! same logits, options and seed give the same token on every platform.

use unisono_core::{Error, Result};

use crate::engine::random::Pcg32;

/// How tokens are chosen. The default is greedy: the most likely token.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest of the most likely tokens whose probabilities add up to this (Holtzman et
    /// al. 2020), at least one; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the largest probability (Nguyen et al. 2024); 0
    /// keeps all.
    pub min_p: f32,
    /// Positive logits of tokens that were there already are divided by it, others multiplied
    /// (Keskar et al. 2019); 1 changes nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens count as having been there, the prompt included; 0 counts all.
    pub repetition_window: usize,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> SampleOptions {
        SampleOptions {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

impl SampleOptions {
    /// Whether the choice is the largest of the logits as they are, which a device can make.
    pub fn is_plain_greedy(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }

    /// Fails on a value that makes no sense, and names it.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str, value: f32, rule: &str| Err(Error::invalid(format!("{what} is {value}; {rule}")));
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return fail("temperature", self.temperature, "0 or a positive number is possible");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail("top_p", self.top_p, "above 0 and up to 1 is possible");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fail("min_p", self.min_p, "0 to 1 is possible");
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty <= 0.0 {
            return fail("repetition_penalty", self.repetition_penalty, "a positive number is possible");
        }
        Ok(())
    }
}

/// Chooses one token after the other.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SampleOptions,
    random: Pcg32,
}

/// A token with its logit.
type Candidate = (u32, f64);

impl Sampler {
    /// Begins with the seed. Fails on options that make no sense.
    pub fn new(options: &SampleOptions) -> Result<Sampler> {
        options.check()?;
        Ok(Sampler { options: options.clone(), random: Pcg32::new(options.seed, 0) })
    }

    /// The options.
    pub fn options(&self) -> &SampleOptions {
        &self.options
    }

    /// Chooses a token. `logits` are those of the whole vocabulary, `before` the tokens of the text
    /// so far. Fails on no logits and on one that is not finite.
    pub fn sample(&mut self, logits: &[f32], before: &[u32]) -> Result<u32> {
        let candidates = self.filtered(logits, before)?;
        let Some(&(best, top)) = candidates.first() else { return Err(Error::internal("no token is left")) };
        if candidates.len() == 1 {
            return Ok(best);
        }
        let weights: Vec<f64> = candidates.iter().map(|&(_, z)| libm::exp(z - top)).collect();
        let mut point = self.random.next_f64() * weights.iter().sum::<f64>();
        for (&(token, _), weight) in candidates.iter().zip(&weights) {
            point -= weight;
            if point < 0.0 {
                return Ok(token);
            }
        }
        // Rounding can leave a rest; the last token with any weight takes it.
        let last = candidates.iter().zip(&weights).rev().find(|(_, w)| **w > 0.0);
        Ok(last.map_or(best, |((token, _), _)| *token))
    }

    /// What all filters leave, the most likely first.
    fn filtered(&self, logits: &[f32], before: &[u32]) -> Result<Vec<Candidate>> {
        let options = &self.options;
        if logits.is_empty() {
            return Err(Error::invalid("there are no logits to choose from"));
        }
        if let Some((i, z)) = logits.iter().enumerate().find(|(_, z)| !z.is_finite()) {
            return Err(Error::invalid(format!("the logit of token {i} is {z}; nothing can be chosen")));
        }
        let mut all: Vec<Candidate> = (0..).zip(logits.iter().map(|&z| f64::from(z))).collect();
        self.penalise(&mut all, before);
        let keep = match (options.temperature, options.top_k) {
            (0.0, _) => 1,
            (_, 0) => all.len(),
            (_, k) => k.min(all.len()),
        };
        if keep < all.len() {
            all.select_nth_unstable_by(keep - 1, better);
            all.truncate(keep);
        }
        all.sort_unstable_by(better);
        if options.temperature > 0.0 {
            let temperature = f64::from(options.temperature);
            all.iter_mut().for_each(|(_, z)| *z /= temperature);
            let kept = self.top_p(&all).min(self.min_p(&all));
            all.truncate(kept);
        }
        Ok(all)
    }

    fn penalise(&self, all: &mut [Candidate], before: &[u32]) {
        let (penalty, window) = (f64::from(self.options.repetition_penalty), self.options.repetition_window);
        if penalty == 1.0 {
            return;
        }
        let start = if window == 0 { 0 } else { before.len().saturating_sub(window) };
        let mut seen = before.get(start..).unwrap_or_default().to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some((_, z)) = all.get_mut(token as usize) {
                *z = if *z > 0.0 { *z / penalty } else { *z * penalty };
            }
        }
    }

    /// How many of the ordered candidates top-p keeps.
    fn top_p(&self, all: &[Candidate]) -> usize {
        let top = all.first().map_or(0.0, |c| c.1);
        if self.options.top_p >= 1.0 {
            return all.len();
        }
        let weights: Vec<f64> = all.iter().map(|&(_, z)| libm::exp(z - top)).collect();
        let wanted = f64::from(self.options.top_p) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let reached = weights.iter().position(|w| {
            sum += w;
            sum >= wanted
        });
        reached.map_or(all.len(), |last| last + 1)
    }

    /// How many of the ordered candidates min-p keeps.
    fn min_p(&self, all: &[Candidate]) -> usize {
        let top = all.first().map_or(0.0, |c| c.1);
        let least = f64::from(self.options.min_p);
        all.iter().take_while(|&&(_, z)| libm::exp(z - top) >= least).count()
    }
}

/// The larger logit first, the lower number first among equals.
fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}
