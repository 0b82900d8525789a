//! In what the same model differs between file formats.
//!
//! Names and shapes are those of Hugging Face in every format ([`Weights`](super::Weights)
//! translates); what cannot be translated by name is said here, and the networks act on it.

/// How the tensors of a checkpoint are to be read. The default is that of safetensors files as
/// `transformers` writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conventions {
    /// Rotary embedding turns pairs `(x₂ᵢ, x₂ᵢ₊₁)`, because the rows of `q` and `k` are permuted
    /// so (GGUF files of the Llama family), not `(xᵢ, xᵢ₊ᵣ⸝₂)`.
    pub(crate) rope_interleaved: bool,
    /// The norm weights of Gemma contain the 1 that its formula adds to them (GGUF).
    pub(crate) norm_has_one: bool,
    /// The weights of GPT-2 are stored as `[in, out]` (Hugging Face's `Conv1D`), not `[out, in]`.
    pub(crate) transposed_conv1d: bool,
}

impl Default for Conventions {
    fn default() -> Conventions {
        Conventions { rope_interleaved: false, norm_has_one: false, transposed_conv1d: true }
    }
}
