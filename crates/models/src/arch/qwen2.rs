//! Qwen 2 and 2.5 (Yang et al. 2024), as `Qwen2ForCausalLM`: the blocks of Llama with biases on
//! queries, keys and values, and a window in the upper layers where `use_sliding_window` is set.

pub(crate) use super::llama::load;
