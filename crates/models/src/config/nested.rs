//! The language model inside a model that also sees images.
//!
//! Gemma 3 from 4 billion weights on is published so: `text_config` holds what `config.json` of a
//! text model holds, less what equals the defaults of transformers, which are filled in here. Text
//! alone is computed by the language model alone; the tensors of the vision part are not read.

use unisono_core::Result;

use super::architecture::missing;
use super::fields::Fields;

/// The class that is published with a text model inside.
const OUTER: &str = "Gemma3ForConditionalGeneration";

/// The defaults of `Gemma3TextConfig` in transformers.
const DEFAULTS: &[(&str, &str)] = &[
    ("vocab_size", "262208"),
    ("hidden_size", "2304"),
    ("intermediate_size", "9216"),
    ("num_hidden_layers", "26"),
    ("num_attention_heads", "8"),
    ("num_key_value_heads", "4"),
    ("head_dim", "256"),
    ("max_position_embeddings", "131072"),
    ("rms_norm_eps", "1e-6"),
    ("bos_token_id", "2"),
    ("eos_token_id", "1"),
];

/// What is said outside: what ends a turn of a conversation, what the output is, how weights are
/// stored.
const OUTSIDE: [&str; 3] = ["tie_word_embeddings", "eos_token_id", "quantization_config"];

/// The class of a configuration and the fields of its text model, where there is one inside; else
/// the fields as they are.
pub(super) fn text_model(fields: Fields<'_>) -> Result<(Option<String>, Fields<'_>)> {
    let class = fields.texts("architectures")?.and_then(|classes| classes.into_iter().next());
    if class.as_deref() != Some(OUTER) {
        return Ok((class, fields));
    }
    let inner = fields.object("text_config")?.ok_or_else(|| missing("text_config"))?;
    let mut inner = inner.with_defaults(DEFAULTS);
    inner.overlay(&fields, &OUTSIDE);
    Ok((Some("Gemma3ForCausalLM".to_owned()), inner))
}
