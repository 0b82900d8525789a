//! The tokenizer of a directory, from whichever files it has.

use std::path::Path;

use unisono_core::{Error, Result};

use crate::tokenizer::older::{Older, UNREAD, advice};
use crate::tokenizer::{Tokenizer, chat};

impl Tokenizer {
    /// From a directory as Hugging Face has it: `tokenizer.json`, or `vocab.json` with `merges.txt`.
    /// `None` where it has no vocabulary; an error that says what to do where it has one that is not
    /// read.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Option<Tokenizer>> {
        let dir = dir.as_ref();
        let Some(json) = tokenizer_json(dir)? else { return Ok(None) };
        let mut tokenizer = Tokenizer::from_bytes(&json)?;
        let eos = chat::eos_token(optional(dir, "tokenizer_config.json")?.as_deref())?;
        tokenizer.end.extend(eos.and_then(|token| tokenizer.token_id(&token)));
        Ok(Some(tokenizer))
    }
}

/// The content of `tokenizer.json`, or what it would be.
pub(crate) fn tokenizer_json(dir: &Path) -> Result<Option<Vec<u8>>> {
    if let Some(json) = optional(dir, "tokenizer.json")? {
        return Ok(Some(json));
    }
    let read = |name: &str| optional(dir, name);
    if let (Some(vocab), Some(merges)) = (read("vocab.json")?, read("merges.txt")?) {
        let older = Older {
            vocab,
            merges,
            config: read("tokenizer_config.json")?,
            model: read("config.json")?,
            specials: read("special_tokens_map.json")?,
            added: read("added_tokens.json")?,
        };
        let json =
            older.tokenizer_json().map_err(|e| Error::new(e.kind(), format!("{}: {}", dir.display(), e.message())));
        return json.map(Some);
    }
    match UNREAD.iter().find(|(name, _)| dir.join(name).is_file()) {
        Some((name, what)) => Err(Error::invalid(advice(&format!("{} is {what}", dir.join(name).display())))),
        None => Ok(None),
    }
}

fn optional(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::invalid(format!("{}: {e}", path.display()))),
    }
}
