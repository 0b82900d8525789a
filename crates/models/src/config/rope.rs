//! The parameters of rotary embeddings and of their rescaling for long contexts.

use unisono_core::Result;

use super::architecture::{Architecture, missing};
use super::fields::Fields;
use super::invalid;

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
    fields: &Fields<'_>,
    architecture: Architecture,
    head_dim: usize,
    max_positions: usize,
) -> Result<(Option<RopeConfig>, Option<RopeConfig>)> {
    if matches!(architecture, Architecture::Gpt2 | Architecture::Bert) {
        return Ok((None, None));
    }
    // One set of parameters, or one for each type of layer.
    let given = fields.object("rope_parameters")?;
    let (full, sliding) = match given {
        Some(by_layer) if by_layer.has("full_attention") || by_layer.has("sliding_attention") => {
            (by_layer.object("full_attention")?, by_layer.object("sliding_attention")?)
        }
        one => (one, None),
    };
    let of_model = RopeContext { fields, architecture, head_dim, max_positions };
    let theta = match architecture {
        Architecture::Mixtral | Architecture::Gemma3 => 1e6,
        _ => 1e4,
    };
    // Older files have the rescaling beside the base.
    let scaling = fields.object("rope_scaling")?;
    let theta = fields.number("rope_theta")?.unwrap_or(theta);
    let full = of_model.config(full.as_ref(), scaling.as_ref(), theta)?;
    let local = match architecture {
        Architecture::Gemma3 => {
            let theta = fields.number("rope_local_base_freq")?.unwrap_or(1e4);
            Some(of_model.config(sliding.as_ref(), None, theta)?)
        }
        _ => None,
    };
    Ok((Some(full), local))
}

struct RopeContext<'a> {
    fields: &'a Fields<'a>,
    architecture: Architecture,
    head_dim: usize,
    max_positions: usize,
}

impl RopeContext<'_> {
    fn config(&self, parameters: Option<&Fields<'_>>, scaling: Option<&Fields<'_>>, theta: f64) -> Result<RopeConfig> {
        let of = |fields: Option<&Fields<'_>>, name: &str| fields.map_or(Ok(None), |fields| fields.number(name));
        let theta = of(parameters, "rope_theta")?.or(of(scaling, "rope_theta")?).unwrap_or(theta);
        let share = of(parameters, "partial_rotary_factor")?.or(self.fields.number("partial_rotary_factor")?);
        let share = share.unwrap_or(1.0);
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

    fn scaling(&self, raw: &Fields<'_>) -> Result<RopeScaling> {
        let phi3 = self.architecture == Architecture::Phi3;
        let given_factor = raw.number("factor")?;
        // Files have one of the two names, or both and equal.
        let named = match raw.text("rope_type")? {
            Some(kind) => Some(kind),
            None => raw.text("type")?,
        };
        // Early files of Phi-3 call LongRoPE by its first names.
        let kind = match named.as_deref() {
            Some("su" | "yarn") if phi3 => "longrope",
            Some(kind) => kind,
            None if given_factor.is_none() => return Ok(RopeScaling::None),
            None => "(unnamed)",
        };
        let positive = |name: &str, value: Option<f64>| match value {
            Some(v) if v.is_finite() && v > 0.0 => Ok(v),
            Some(v) => Err(invalid(format!("{name} of the rope scaling is {v}; it must be positive"))),
            None => Err(invalid(format!("the rope scaling {kind} needs {name}"))),
        };
        let given = |name: &str, or: f64| positive(name, Some(raw.number(name)?.unwrap_or(or)));
        let needed = |name: &str| positive(name, raw.number(name)?);
        const ORIGINAL: &str = "original_max_position_embeddings";
        let original = self.fields.number(ORIGINAL)?.or(raw.number(ORIGINAL)?);
        let original_context = positive(ORIGINAL, original.or(Some(self.max_positions as f64)))?;
        // What the context was extended by, where the file does not say.
        let extended = self.max_positions as f64 / original_context;
        match kind {
            "default" | "dynamic" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: needed("factor")? }),
            "llama3" => {
                let factor = needed("factor")?;
                let low_freq_factor = needed("low_freq_factor")?;
                let high_freq_factor = needed("high_freq_factor")?;
                if low_freq_factor >= high_freq_factor {
                    return Err(invalid("low_freq_factor of the rope scaling is not below high_freq_factor"));
                }
                Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context })
            }
            "yarn" => {
                let factor = given("factor", extended)?;
                let (beta_fast, beta_slow) = (given("beta_fast", 32.0)?, given("beta_slow", 1.0)?);
                if beta_slow >= beta_fast {
                    return Err(invalid("beta_slow of the rope scaling is not below beta_fast"));
                }
                let temperature = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
                let inferred = match (raw.number("mscale")?, raw.number("mscale_all_dim")?) {
                    (Some(m), Some(all)) if m != 0.0 && all != 0.0 => temperature(m) / temperature(all),
                    _ => temperature(1.0),
                };
                let attention_factor = given("attention_factor", inferred)?;
                let truncate = raw.flag("truncate")?.unwrap_or(true);
                Ok(RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_context, attention_factor })
            }
            "longrope" => {
                let short = list(raw, "short_factor")?;
                let long = list(raw, "long_factor")?;
                let factor = given("factor", extended)?;
                let inferred = match factor {
                    f if f <= 1.0 => 1.0,
                    f => (1.0 + f.ln() / original_context.ln()).sqrt(),
                };
                let attention_factor = given("attention_factor", inferred)?;
                Ok(RopeScaling::LongRope { short, long, original_context, attention_factor })
            }
            "factors" => Ok(RopeScaling::Factors(list(raw, "factors")?)),
            _ => {
                let known = "default, dynamic, linear, llama3, yarn, longrope and factors are";
                Err(invalid(format!("rope type {kind} is not supported; {known}")))
            }
        }
    }
}

/// A list of numbers that the rescaling needs.
fn list(raw: &Fields<'_>, name: &str) -> Result<Vec<f64>> {
    raw.numbers(name)?.ok_or_else(|| missing(&format!("{name} of the rope scaling")))
}
