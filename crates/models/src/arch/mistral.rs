//! Mistral (Jiang et al. 2023), as `MistralForCausalLM`: the blocks of Llama, where each token sees
//! a window of the last ones. The window is a property of the configuration, and later versions
//! have none.

pub(crate) use super::llama::load;
