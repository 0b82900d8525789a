//! The parameters of rotary embeddings and of their rescaling for long contexts.

use unisono_core::Result;

use super::architecture::{Architecture, missing};
use super::invalid;
use super::raw::{LayerType, RawConfig, RawRope, RawRopeParameters};

/// A rotary embedding (Su et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many dimensions of a head are rotated, from the first; even.
    pub rotary_dim: usize,
    /// How the frequencies are rescaled.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are rescaled for contexts longer than those of the training.
///
/// `dynamic` of `transformers` is [`None`](RopeScaling::None) here: it changes frequencies beyond
/// `max_position_embeddings` only, and contexts are limited to that.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All are divided by a factor (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths are stretched, short ones kept, those between are blended.
    Llama3 {
        /// By how much low frequencies are slowed down.
        factor: f64,
        /// Wavelengths over `original_context / low_freq_factor` are slowed fully.
        low_freq_factor: f64,
        /// Wavelengths under `original_context / high_freq_factor` stay as they are.
        high_freq_factor: f64,
        /// The context of the model before it was extended.
        original_context: f64,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// By how much low frequencies are slowed down.
        factor: f64,
        /// Dimensions that turn more often than this within the original context stay.
        beta_fast: f64,
        /// Dimensions that turn less often than this are slowed fully.
        beta_slow: f64,
        /// Whether the limits between them are rounded to whole dimensions.
        truncate: bool,
        /// The context of the model before it was extended.
        original_context: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
    /// LongRoPE (Ding et al. 2024), as Phi-3 uses it: a divisor for each pair of dimensions, one
    /// list for contexts up to the original one and another for longer ones.
    LongRope {
        /// Divisors for contexts up to `original_context`, `[rotary_dim / 2]`.
        short: Vec<f64>,
        /// Divisors for longer contexts, `[rotary_dim / 2]`.
        long: Vec<f64>,
        /// The context of the model before it was extended.
        original_context: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
    /// A divisor for each pair of dimensions, `[rotary_dim / 2]` (the `rope_freqs` of GGUF files).
    Factors(Vec<f64>),
}

impl RopeConfig {
    pub(super) fn check(&self, head_dim: usize) -> Result<()> {
        if !self.theta.is_finite() || self.theta <= 0.0 {
            return Err(invalid(format!("rope_theta is {}; it must be positive", self.theta)));
        }
        let rotated = self.rotary_dim;
        if rotated == 0 || rotated > head_dim || !rotated.is_multiple_of(2) {
            let what = format!("head_dim {head_dim} is odd, or the share that is rotated is");
            return Err(invalid(format!("{what}: {rotated} dimensions; rotary embedding rotates pairs")));
        }
        let lists: &[(&str, &Vec<f64>)] = match &self.scaling {
            RopeScaling::LongRope { short, long, .. } => &[("short_factor", short), ("long_factor", long)],
            RopeScaling::Factors(factors) => &[("factors", factors)],
            _ => &[],
        };
        for (name, list) in lists {
            if list.len() != rotated / 2 {
                let (have, want) = (list.len(), rotated / 2);
                return Err(invalid(format!("{name} of the rope scaling has {have} entries; {want} are needed")));
            }
            if let Some(factor) = list.iter().find(|f| !f.is_finite() || **f <= 0.0) {
                return Err(invalid(format!("{name} of the rope scaling holds {factor}; all must be positive")));
            }
        }
        Ok(())
    }
}

/// The rotary embedding of the model, and that of its layers with a window where it differs.
pub(super) fn parse(
    raw: &RawConfig,
    architecture: Architecture,
    head_dim: usize,
    max_positions: usize,
) -> Result<(Option<RopeConfig>, Option<RopeConfig>)> {
    if matches!(architecture, Architecture::Gpt2 | Architecture::Bert) {
        return Ok((None, None));
    }
    let (full, sliding) = match &raw.rope_parameters {
        Some(RawRopeParameters::One(one)) => (Some(&**one), None),
        Some(RawRopeParameters::ByLayer(by)) => {
            let of = |layer| by.get(&layer).and_then(Option::as_ref);
            (of(LayerType::FullAttention), of(LayerType::SlidingAttention))
        }
        None => (None, None),
    };
    let of_model = RopeContext { raw, architecture, head_dim, max_positions };
    let theta = match architecture {
        Architecture::Mixtral | Architecture::Gemma3 => 1e6,
        _ => 1e4,
    };
    // Older files have the rescaling beside the base.
    let full = of_model.config(full, raw.rope_scaling.as_ref(), raw.rope_theta.unwrap_or(theta))?;
    let local = match architecture {
        Architecture::Gemma3 => Some(of_model.config(sliding, None, raw.rope_local_base_freq.unwrap_or(1e4))?),
        _ => None,
    };
    Ok((Some(full), local))
}

struct RopeContext<'a> {
    raw: &'a RawConfig,
    architecture: Architecture,
    head_dim: usize,
    max_positions: usize,
}

impl RopeContext<'_> {
    fn config(&self, parameters: Option<&RawRope>, scaling: Option<&RawRope>, theta: f64) -> Result<RopeConfig> {
        let theta = parameters.and_then(|p| p.rope_theta).or(scaling.and_then(|s| s.rope_theta)).unwrap_or(theta);
        let share = parameters.and_then(|p| p.partial_rotary_factor).or(self.raw.partial_rotary_factor).unwrap_or(1.0);
        if !(share > 0.0 && share <= 1.0) {
            return Err(invalid(format!("partial_rotary_factor is {share}; it must be over 0 and at most 1")));
        }
        if share != 1.0 && self.architecture != Architecture::Phi3 {
            let name = self.architecture.name();
            return Err(invalid(format!("partial_rotary_factor {share} is not supported for {name}; 1 is")));
        }
        let rotary_dim = (self.head_dim as f64 * share) as usize;
        let scaling = match scaling.or(parameters) {
            Some(scaling) => self.scaling(scaling)?,
            None => RopeScaling::None,
        };
        Ok(RopeConfig { theta, rotary_dim, scaling })
    }

    fn scaling(&self, raw: &RawRope) -> Result<RopeScaling> {
        let phi3 = self.architecture == Architecture::Phi3;
        // Early files of Phi-3 call LongRoPE by its first names.
        let kind = match raw.kind() {
            Some("su" | "yarn") if phi3 => "longrope",
            Some(kind) => kind,
            None if raw.factor.is_none() => return Ok(RopeScaling::None),
            None => "(unnamed)",
        };
        let positive = |name: &str, value: Option<f64>| match value {
            Some(v) if v.is_finite() && v > 0.0 => Ok(v),
            Some(v) => Err(invalid(format!("{name} of the rope scaling is {v}; it must be positive"))),
            None => Err(invalid(format!("the rope scaling {kind} needs {name}"))),
        };
        let original = self.raw.original_max_position_embeddings.or(raw.original_max_position_embeddings);
        let original_context =
            positive("original_max_position_embeddings", original.or(Some(self.max_positions as f64)))?;
        // What the context was extended by, where the file does not say.
        let extended = self.max_positions as f64 / original_context;
        match kind {
            "default" | "dynamic" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: positive("factor", raw.factor)? }),
            "llama3" => {
                let factor = positive("factor", raw.factor)?;
                let low_freq_factor = positive("low_freq_factor", raw.low_freq_factor)?;
                let high_freq_factor = positive("high_freq_factor", raw.high_freq_factor)?;
                if low_freq_factor >= high_freq_factor {
                    return Err(invalid("low_freq_factor of the rope scaling is not below high_freq_factor"));
                }
                Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context })
            }
            "yarn" => {
                let factor = positive("factor", raw.factor.or(Some(extended)))?;
                let beta_fast = positive("beta_fast", raw.beta_fast.or(Some(32.0)))?;
                let beta_slow = positive("beta_slow", raw.beta_slow.or(Some(1.0)))?;
                if beta_slow >= beta_fast {
                    return Err(invalid("beta_slow of the rope scaling is not below beta_fast"));
                }
                let temperature = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
                let inferred = match (raw.mscale, raw.mscale_all_dim) {
                    (Some(m), Some(all)) if m != 0.0 && all != 0.0 => temperature(m) / temperature(all),
                    _ => temperature(1.0),
                };
                let attention_factor = positive("attention_factor", raw.attention_factor.or(Some(inferred)))?;
                let truncate = raw.truncate.unwrap_or(true);
                Ok(RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_context, attention_factor })
            }
            "longrope" => {
                let short = raw.short_factor.clone().ok_or_else(|| missing("short_factor of the rope scaling"))?;
                let long = raw.long_factor.clone().ok_or_else(|| missing("long_factor of the rope scaling"))?;
                let factor = positive("factor", raw.factor.or(Some(extended)))?;
                let inferred = match factor {
                    f if f <= 1.0 => 1.0,
                    f => (1.0 + f.ln() / original_context.ln()).sqrt(),
                };
                let attention_factor = positive("attention_factor", raw.attention_factor.or(Some(inferred)))?;
                Ok(RopeScaling::LongRope { short, long, original_context, attention_factor })
            }
            "factors" => {
                Ok(RopeScaling::Factors(raw.factors.clone().ok_or_else(|| missing("factors of the rope scaling"))?))
            }
            _ => {
                let known = "default, dynamic, linear, llama3, yarn, longrope and factors are";
                Err(invalid(format!("rope type {kind} is not supported; {known}")))
            }
        }
    }
}
