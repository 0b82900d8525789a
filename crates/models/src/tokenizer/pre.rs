//! How byte-level BPE cuts a text into words before it merges: the names that GGUF files have for
//! it (`tokenizer.ggml.pre`) and what each means. The patterns are those of the tokenizers that the
//! models were published with, as transformers 5.23 (`integrations/gguf`) and llama.cpp list them.

use unisono_core::{Error, Result};

/// A way to cut text, with the habits that come with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Applied one after the other, each to the pieces of the one before.
    pub(super) patterns: &'static [&'static str],
    /// Applied after those, to the bytes spelled as letters.
    pub(super) byte_patterns: &'static [&'static str],
    /// A word that is a token is that token, whatever the merges would make of it.
    pub(super) ignore_merges: bool,
    /// Whether a text begins with the token that begins a text, if the file does not say.
    pub(super) add_bos: bool,
    /// Whether characters are composed first (Unicode NFC).
    pub(super) nfc: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub(super) const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_CODER: [&str; 5] = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥\u{800}-一가-\u{d7ff}]+", r"\p{N}"];

const PLAIN: Rules = Rules { patterns: &[GPT2], byte_patterns: &[], ignore_merges: false, add_bos: false, nfc: false };

/// Every name that is known, for the error.
const NAMES: &[&str] = &[
    "default",
    "gpt-2",
    "phi-2",
    "roberta-bpe",
    "jais",
    "mpt",
    "olmo",
    "llama-bpe",
    "dbrx",
    "smaug-bpe",
    "qwen2",
    "qwen35",
    "deepseek-r1-qwen",
    "stablelm2",
    "tekken",
    "gpt-4o",
    "llama4",
    "deepseek-v3",
    "deepseek-coder",
    "falcon",
    "starcoder",
    "refact",
    "command-r",
    "smollm",
];

/// The rules of a name; those of GPT-2 where a file has none, as the oldest files do.
pub(super) fn rules(name: Option<&str>) -> Result<Rules> {
    Ok(match name.unwrap_or("default") {
        "default" | "gpt-2" | "phi-2" | "roberta-bpe" | "jais" => PLAIN,
        "mpt" | "olmo" => Rules { nfc: true, ..PLAIN },
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" => {
            Rules { patterns: &[LLAMA3], ignore_merges: true, add_bos: true, ..PLAIN }
        }
        "dbrx" | "smaug-bpe" => Rules { patterns: &[LLAMA3], ..PLAIN },
        "qwen2" => Rules { patterns: &[QWEN2], nfc: true, ..PLAIN },
        "qwen35" => Rules { patterns: &[QWEN35], nfc: true, ..PLAIN },
        "deepseek-r1-qwen" | "stablelm2" | "megrez" | "kormo" | "f2llmv2" => Rules { patterns: &[QWEN2], ..PLAIN },
        "tekken" => Rules { patterns: &[TEKKEN], ignore_merges: true, add_bos: true, ..PLAIN },
        "gpt-4o" | "llama4" | "kanana2" => Rules { patterns: &[GPT4O], ..PLAIN },
        "deepseek-v3" | "hunyuan-dense" => Rules { patterns: &DEEPSEEK3, ..PLAIN },
        "deepseek-coder" => Rules { patterns: &DEEPSEEK_CODER, ..PLAIN },
        // The steps "punctuation, contiguous", GPT-2's pattern, "digits" and three digits. The last
        // two were given byte letters, of which some are digits.
        "falcon" => {
            Rules { patterns: &[r"[\p{P}$+<=>^`|~]+", GPT2], byte_patterns: &[r"\p{N}+", "[0-9][0-9][0-9]"], ..PLAIN }
        }
        "starcoder" | "refact" | "command-r" | "smollm" => Rules { patterns: &[r"\p{N}", GPT2], ..PLAIN },
        other => {
            let message = format!("tokenizer.ggml.pre is {other:?}; known are {}", NAMES.join(", "));
            return Err(Error::invalid(message));
        }
    })
}
