//! Golden results: what another implementation computed for a model.

use serde::Deserialize;
use unisono_core::{DType, Error, Result};

use crate::formats::Source;
use crate::formats::Weights;

/// Golden results of a model, as written by `scripts/train_tiny_llama.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct Goldens {
    /// One record for each prompt.
    pub prompts: Vec<Golden>,
}

/// Golden results of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// The text.
    pub prompt: String,
    /// Its tokens, special ones included.
    pub prompt_ids: Vec<u32>,
    /// Greedy tokens, without a stop.
    pub generated_ids: Vec<u32>,
    /// Their text.
    pub generated_text: String,
    /// Smallest distance of the two largest logits in the greedy steps: rounding below half of it
    /// cannot change a token.
    pub min_top2_gap: f32,
    /// Indices into prompt and generated tokens: `logits` predict the token after each.
    pub positions: Vec<usize>,
    /// For each position the logits of the whole vocabulary.
    pub logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct RawGoldens {
    prompts: Vec<RawGolden>,
    config: RawSizes,
}

#[derive(Deserialize)]
struct RawSizes {
    vocab_size: usize,
}

#[derive(Deserialize)]
struct RawGolden {
    prompt: String,
    prompt_ids: Vec<u32>,
    generated_ids: Vec<u32>,
    generated_text: String,
    min_top2_gap: f32,
    logit_positions: Vec<usize>,
    logits: String,
}

impl Goldens {
    /// From the content of `goldens.json` and `goldens.safetensors`.
    pub fn from_bytes(json: &[u8], tensors: &'static [u8]) -> Result<Goldens> {
        let raw: RawGoldens = serde_json::from_slice(json).map_err(|e| Error::invalid(format!("goldens.json: {e}")))?;
        let source = Source::from_bytes("goldens", &[][..], vec![("goldens.safetensors".to_owned(), tensors.into())]);
        let tensors = Weights::open(&source)?;
        let vocab = raw.config.vocab_size;
        let golden = |raw: RawGolden| {
            let first = raw.prompt_ids.len().saturating_sub(1);
            let last = (raw.prompt_ids.len() + raw.generated_ids.len()).saturating_sub(1);
            if raw.prompt_ids.is_empty() || vocab == 0 || raw.logit_positions.iter().any(|p| !(first..last).contains(p))
            {
                return Err(Error::invalid(format!("goldens.json: malformed record of {:?}", raw.prompt)));
            }
            let (dtype, bytes) = tensors.bytes(&raw.logits, &[raw.logit_positions.len(), vocab])?;
            if dtype != DType::F32 {
                return Err(Error::dtype(format!("goldens.safetensors: tensor {} is {dtype}, not f32", raw.logits)));
            }
            let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            Ok(Golden {
                prompt: raw.prompt,
                prompt_ids: raw.prompt_ids,
                generated_ids: raw.generated_ids,
                generated_text: raw.generated_text,
                min_top2_gap: raw.min_top2_gap,
                positions: raw.logit_positions,
                logits: values.chunks(vocab).map(<[f32]>::to_vec).collect(),
            })
        };
        Ok(Goldens { prompts: raw.prompts.into_iter().map(golden).collect::<Result<_>>()? })
    }
}
