//! Text to tokens and back: `tokenizer.json` by the `tokenizers` crate, vocabularies of GGUF files,
//! and conversations through chat templates.
//!
//! Byte-level BPE and WordPiece vocabularies of GGUF files are put together from parts of the
//! `tokenizers` crate. SentencePiece is written here: the crate merges by ranks, and ranks made from
//! scores are not always what SentencePiece does; its unigram model finds control tokens in text.

mod byte_level;
mod charsmap;
mod chat;
mod detokenizer;
#[cfg(not(target_family = "wasm"))]
mod directory;
mod files;
mod gguf;
mod guard;
mod library;
#[cfg(not(target_family = "wasm"))]
mod older;
mod pieces;
mod pre;
mod sentencepiece;
mod specials;
mod strftime;
mod vocabulary;
mod wordpiece;

use unisono_core::Result;

#[cfg(not(target_family = "wasm"))]
pub(crate) use directory::tokenizer_json;

pub use chat::{ChatOptions, ChatTemplate, Message};
pub use detokenizer::Detokenizer;
pub use vocabulary::{TokenType, Vocabulary};

use library::Library;
use sentencepiece::SentencePiece;
use specials::{Hidden, Specials};

/// The tokenizer of a model.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    /// Added around a text where the encoder has no rule of its own for it.
    frame: Frame,
    specials: Specials,
    end: Vec<u32>,
    vocab_size: usize,
}

#[derive(Clone, Debug)]
enum Encoder {
    Library(Box<Library>),
    SentencePiece(Box<SentencePiece>),
}

/// Tokens that begin and end a text.
#[derive(Clone, Debug, Default)]
struct Frame {
    before: Vec<u32>,
    after: Vec<u32>,
}

/// What becomes of the spelling of special tokens in a text.
#[derive(Clone, Copy, Debug)]
enum Reading<'a> {
    /// It is text.
    Plain,
    /// It is the token, except where it was hidden.
    Specials(&'a Hidden),
}

impl Tokenizer {
    /// From the content of `tokenizer.json`. Padding and truncation that it asks for are left out:
    /// the length of a text is the caller's business.
    pub fn from_bytes(json: &[u8]) -> Result<Tokenizer> {
        let library = Library::from_json(json)?;
        Tokenizer::from_library(library, Frame::default())
    }

    /// From the metadata of a GGUF file. The error names the key that is wrong.
    pub fn from_gguf(vocabulary: &Vocabulary) -> Result<Tokenizer> {
        gguf::build(vocabulary)
    }

    fn from_library(library: Library, frame: Frame) -> Result<Tokenizer> {
        let (specials, vocab_size) = (Specials::new(library.specials())?, library.vocab_size());
        Ok(Tokenizer { encoder: Encoder::Library(Box::new(library)), frame, specials, end: Vec::new(), vocab_size })
    }

    /// The tokens of a text in which special tokens may be spelled out (`<|im_start|>`). `special`
    /// adds what the tokenizer puts around a text, usually the token that begins it.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        self.encode_as(text, Reading::Specials(&Hidden::default()), special)
    }

    /// The tokens of a text by someone who may not write special tokens: their spelling is text.
    pub fn encode_text(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        self.encode_as(text, Reading::Plain, special)
    }

    /// The tokens of a conversation as `template` writes it, which also decides about the token
    /// that begins a text. Special tokens that the template writes are tokens; where a message
    /// spells one, it is text, unless `options` say otherwise.
    pub fn encode_chat(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<Vec<u32>> {
        if options.special_in_messages {
            return self.encode(&template.render(messages, options)?, false);
        }
        let texts: Vec<&str> = messages.iter().flat_map(|m| [m.role.as_str(), m.content.as_str()]).collect();
        let hidden = self.specials.hide(&texts, template.source())?;
        let hide = |text: &str| self.specials.apply(text, &hidden);
        let messages: Vec<Message> =
            messages.iter().map(|m| Message { role: hide(&m.role), content: hide(&m.content) }).collect();
        self.encode_as(&template.render(&messages, options)?, Reading::Specials(&hidden), false)
    }

    fn encode_as(&self, text: &str, reading: Reading<'_>, special: bool) -> Result<Vec<u32>> {
        let tokens = match &self.encoder {
            Encoder::Library(library) => library.encode(text, reading, special)?,
            Encoder::SentencePiece(model) => model.encode(text, reading),
        };
        if !special || (self.frame.before.is_empty() && self.frame.after.is_empty()) {
            return Ok(tokens);
        }
        Ok([&self.frame.before[..], &tokens, &self.frame.after].concat())
    }

    /// The text of tokens, without special ones. Incomplete UTF-8 becomes U+FFFD; use
    /// [`Detokenizer`] for a stream. Numbers that are no tokens are left out: models may have more
    /// rows than the vocabulary has tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.decode_as(tokens, false)
    }

    /// The text of tokens with special ones spelled out.
    pub fn decode_with_special(&self, tokens: &[u32]) -> Result<String> {
        self.decode_as(tokens, true)
    }

    fn decode_as(&self, tokens: &[u32], special: bool) -> Result<String> {
        match &self.encoder {
            Encoder::Library(library) => library.decode(tokens, special),
            Encoder::SentencePiece(model) => Ok(model.decode(tokens, special)),
        }
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The number of a token by its exact text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        match &self.encoder {
            Encoder::Library(library) => library.token_id(token),
            Encoder::SentencePiece(model) => model.token_id(token),
        }
    }

    /// How the vocabulary spells a token.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.encoder {
            Encoder::Library(library) => library.token(id),
            Encoder::SentencePiece(model) => model.token(id).map(str::to_owned),
        }
    }

    /// Whether a token is special: structure, not text.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.contains(id)
    }

    /// Tokens that end a text or a turn by what the vocabulary says; none if it does not.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end
    }
}
