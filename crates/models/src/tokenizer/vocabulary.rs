//! A vocabulary as the metadata of a GGUF file states it.
//!
//! The parser of the format fills this and judges nothing; the tokenizer is built from it and
//! checks everything. So neither knows the other.

/// The metadata `tokenizer.*` of a GGUF file, under the names it has there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `bert`
    /// (WordPiece), `t5` (unigram).
    pub model: String,
    /// `tokenizer.ggml.pre`: how byte-level BPE cuts a text into words.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: the text of each token, in the spelling of the model.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: one for each token, or none.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: one for each token, or none. See [`TokenType`].
    pub types: Vec<u32>,
    /// `tokenizer.ggml.merges`: pairs of tokens with a space between, the most urgent first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`: begins a text.
    pub bos_id: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`: ends a text.
    pub eos_id: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: ends a turn.
    pub eot_id: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`: ends a message that calls a tool.
    pub eom_id: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`: stands for what no token spells.
    pub unk_id: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub pad_id: Option<u32>,
    /// `tokenizer.ggml.cls_token_id`: begins a text of an encoder.
    pub cls_id: Option<u32>,
    /// `tokenizer.ggml.seperator_token_id` (so spelled in the format): ends a text of an encoder.
    pub sep_id: Option<u32>,
    /// `tokenizer.ggml.mask_token_id`.
    pub mask_id: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`: whether a text begins with `bos_id`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`: whether a text ends with `eos_id`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether SentencePiece puts a space before a text.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`: whether SentencePiece joins runs of spaces.
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.normalizer.lowercase`: whether WordPiece makes capital letters small.
    pub lowercase: Option<bool>,
    /// `tokenizer.ggml.normalizer.strip_accents`: whether WordPiece takes accents away.
    pub strip_accents: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`: the normalisation of a SentencePiece model.
    pub precompiled_charsmap: Vec<u8>,
    /// `tokenizer.chat_template`: a Jinja template that writes a conversation as text.
    pub chat_template: Option<String>,
}

/// What a token is: the numbers of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Text.
    Normal = 1,
    /// Stands for what no token spells.
    Unknown = 2,
    /// Structure, not text: begins a text, ends a turn.
    Control = 3,
    /// Found in a text before anything else is cut.
    UserDefined = 4,
    /// Never used.
    Unused = 5,
    /// One byte, spelled `<0x0A>`.
    Byte = 6,
}

impl TokenType {
    /// From its number.
    pub fn new(number: u32) -> Option<TokenType> {
        Some(match number {
            1 => TokenType::Normal,
            2 => TokenType::Unknown,
            3 => TokenType::Control,
            4 => TokenType::UserDefined,
            5 => TokenType::Unused,
            6 => TokenType::Byte,
            _ => return None,
        })
    }
}
