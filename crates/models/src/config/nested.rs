//! The language model inside a model that also sees images.
//!
//! Gemma 3 from 4 billion weights on is published so: `text_config` holds what `config.json` of a
//! text model holds, less what equals the defaults of transformers, which are filled in here. Text
//! alone is computed by the language model alone; the tensors of the vision part are not read.

use serde_json::{Value, json};
use unisono_core::Result;

use super::architecture::missing;
use super::invalid;
use super::raw::RawConfig;

/// The class that is published with a text model inside.
const OUTER: &str = "Gemma3ForConditionalGeneration";

/// The fields of the text model, where there is one inside; else the fields as they are.
pub(super) fn text_model(mut raw: RawConfig) -> Result<RawConfig> {
    if raw.architectures.as_ref().and_then(|a| a.first()).is_none_or(|class| class != OUTER) {
        return Ok(raw);
    }
    let Value::Object(given) = raw.text_config.take().ok_or_else(|| missing("text_config"))? else {
        return Err(invalid("text_config is not an object"));
    };
    // The defaults of `Gemma3TextConfig` in transformers.
    let defaults = json!({
        "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6, "bos_token_id": 2, "eos_token_id": 1
    });
    let Value::Object(mut text) = defaults else { return Err(invalid("text_config has no defaults")) };
    text.extend(given);
    text.insert("architectures".to_owned(), json!(["Gemma3ForCausalLM"]));
    let inner: RawConfig =
        serde_json::from_value(Value::Object(text)).map_err(|e| invalid(format_args!("text_config: {e}")))?;
    // What ends a turn of a conversation is said outside, and so is what the output is.
    let tie_word_embeddings = raw.tie_word_embeddings.or(inner.tie_word_embeddings);
    let eos_token_id = raw.eos_token_id.or(inner.eos_token_id);
    let quantization_config = raw.quantization_config.or(inner.quantization_config);
    Ok(RawConfig { tie_word_embeddings, eos_token_id, quantization_config, ..inner })
}
