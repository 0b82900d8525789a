//! The tokenizer and the chat template of a checkpoint, from whichever of its files has them.

use unisono_core::{Error, Result};

use crate::formats::Source;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::chat::{self, ChatTemplate};

impl Source {
    /// The tokenizer, from `tokenizer.json` or the vocabulary of a GGUF file; `None` where there is
    /// neither, an error where there are only files that are not read.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        let mut tokenizer = match (&self.tokenizer, self.vocabulary()) {
            (Some(json), _) => Tokenizer::from_bytes(json)?,
            (None, Some(vocabulary)) => {
                let file = self.gguf_file().unwrap_or(self.name());
                let named = |e: Error| Error::new(e.kind(), format!("{file}: {}", e.message()));
                return Tokenizer::from_gguf(vocabulary).map(Some).map_err(named);
            }
            (None, None) => return self.no_tokenizer.clone().map_or(Ok(None), Err),
        };
        let eos = chat::eos_token(self.chat.config.as_deref())?;
        let end = eos.and_then(|token| tokenizer.token_id(&token));
        tokenizer.end.extend(end);
        Ok(Some(tokenizer))
    }

    /// The tokenizer, or why there is none: a model computes without one. Fails where there is one and
    /// it is damaged.
    pub(crate) fn tokenizer_or_why(&self) -> Result<Result<Tokenizer>> {
        match (&self.no_tokenizer, &self.tokenizer, self.vocabulary()) {
            (Some(why), None, None) => Ok(Err(why.clone())),
            _ => {
                let none = || Error::invalid(format!("the model {} has no tokenizer", self.name()));
                Ok(self.tokenizer()?.ok_or_else(none))
            }
        }
    }

    /// The chat template, from `chat_template.jinja`, `tokenizer_config.json` or the metadata of a
    /// GGUF file; `None` where there is none.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        let from_files = ChatTemplate::from_files(self.chat.config.as_deref(), self.chat.template.as_deref())?;
        match (from_files, self.vocabulary()) {
            (Some(template), _) => Ok(Some(template)),
            (None, Some(vocabulary)) => ChatTemplate::from_gguf(vocabulary),
            (None, None) => Ok(None),
        }
    }
}
