//! The profiles themselves. Parts that profiles share have a name; a profile is a list of parts.
//!
//! Weights are listed under their own element type; activations, the rows between them, under
//! theirs. A profile for weights of 16 bits or less asks for activations in f32 as well, because
//! engines keep the residual stream there.

use unisono_core::DType;

use super::Profile;
use super::rule::Rule;

const F32: &[DType] = &[DType::F32];
const F16: &[DType] = &[DType::F16];
const BF16: &[DType] = &[DType::BF16];
/// Activations beside weights in f16 or blocks.
const F32_F16: &[DType] = &[DType::F32, DType::F16];
const F32_BF16: &[DType] = &[DType::F32, DType::BF16];
const INDICES: &[DType] = &[DType::U32, DType::I32];
const Q4: &[DType] = &[DType::Q4_0, DType::Q4K, DType::Q6K, DType::Q8_0];
const Q8: &[DType] = &[DType::Q8_0];
/// The weights of experts: as trained, and in the blocks that files of such models use.
const EXPERTS: &[DType] = &[DType::F16, DType::Q4K, DType::Q6K, DType::Q8_0];
const MXFP4: &[DType] = &[DType::Mxfp4];

/// Programs of several steps, with state that outlives a submission, and several threads.
const PROGRAMS: Rule = Rule::of(&["program"], F32);

/// Projections, the embedding and the output layer.
const fn weights(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["matmul", "linear", "gather_rows"], dtypes)
}

/// What every transformer does to its activations: residuals, scaling, heads taken apart and
/// joined, casts, the best token.
const fn rows(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["add", "mul", "concat", "argmax", "scale_shift"], dtypes)
}

const fn copies(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["copy"], dtypes).named(&["layout", "pair", "cast_spread", "cast_tie", "cast_edge", "cast_layout"])
}

/// Probabilities over positions or tokens.
const fn softmax(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["softmax"], dtypes).named(&["rows"])
}

/// Attention as such: grouped heads, causal or not, long and short, prefill and decode, the last
/// with pages and with sequences of different lengths in one batch.
const fn attention(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["attention"], dtypes)
        .named(&["decode", "prefill", "edge", "long", "serving", "ragged"])
        .without(&["cap", "window", "sinks"])
}

/// Attention over a sliding window, and with its scores capped.
const fn windows_and_caps(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["attention"], dtypes).named(&["features", "option", "serving"]).without(&["sinks"])
}

/// Attention with sinks, over a sliding window.
const fn windows_and_sinks(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["attention"], dtypes).named(&["features", "option", "serving"]).without(&["cap"])
}

/// The layers of a Llama between its products: norms, rotation, the write into the cache, the gate.
const fn llama(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["rms_norm", "add_rms_norm", "rope", "rope_write", "scatter_rows", "swiglu", "silu"], dtypes)
}

/// The router of a mixture of experts, and the sum over those it chose.
const fn router(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["topk", "sum", "sigmoid"], dtypes)
}

/// Layers with mean and bias, and the activations of such models.
const fn layer_norm(dtypes: &'static [DType]) -> Rule {
    Rule::of(&["layer_norm", "gelu", "gelu_tanh"], dtypes)
}

/// Every profile, the ones for Llama first.
pub(super) const PROFILES: &[Profile] = &[
    Profile {
        name: "core",
        about: "what every other profile builds on, in f32: products, rows, movement, softmax, programs",
        rules: &[
            PROGRAMS,
            Rule::of(&["matmul", "gather_rows", "scatter_rows"], F32),
            rows(F32),
            copies(F32),
            softmax(F32),
            Rule::of(&["copy", "concat", "gather_rows", "scatter_rows"], INDICES),
        ],
    },
    Profile {
        name: "llama-f32",
        about: "Llama, Mistral, Qwen and SmolLM with weights and activations in f32",
        rules: &[PROGRAMS, weights(F32), rows(F32), copies(F32), softmax(F32), attention(F32), llama(F32)],
    },
    Profile {
        name: "llama-f16",
        about: "the same with weights in f16, activations and cache in f16 or f32",
        rules: &[
            PROGRAMS,
            weights(F16),
            rows(F32_F16),
            copies(F32_F16),
            softmax(F32_F16),
            attention(F32_F16),
            llama(F32_F16),
        ],
    },
    Profile {
        name: "llama-bf16",
        about: "the same with weights in bf16, activations and cache in bf16 or f32",
        rules: &[
            PROGRAMS,
            weights(BF16),
            rows(F32_BF16),
            copies(F32_BF16),
            softmax(F32_BF16),
            attention(F32_BF16),
            llama(F32_BF16),
        ],
    },
    Profile {
        name: "llama-q4",
        about: "the same from GGUF files of 4 bits: weights in Q4_0, Q4_K, Q6_K and Q8_0",
        rules: &[
            PROGRAMS,
            weights(Q4),
            Rule::of(&["copy"], Q4).named(&["blocks"]),
            rows(F32_F16),
            copies(F32_F16),
            softmax(F32_F16),
            attention(F32_F16),
            llama(F32_F16),
        ],
    },
    Profile {
        name: "llama-q8",
        about: "the same from GGUF files of 8 bits: weights in Q8_0, and a cache in Q8_0",
        rules: &[
            PROGRAMS,
            weights(Q8),
            Rule::of(&["copy", "scatter_rows"], Q8).named(&["blocks"]),
            Rule::of(&["attention"], &[DType::F32, DType::F16, DType::Q8_0])
                .named(&["quantised"])
                .without(&["cap", "window", "sinks"]),
            rows(F32_F16),
            copies(F32_F16),
            softmax(F32_F16),
            attention(F32_F16),
            llama(F32_F16),
        ],
    },
    Profile {
        name: "moe",
        about: "Mixtral and Qwen-MoE: llama-f16 and products with the experts that a router chooses, in f16, Q4_K, Q6_K and Q8_0",
        rules: &[
            PROGRAMS,
            weights(EXPERTS),
            Rule::of(&["matmul_id"], EXPERTS),
            router(F32),
            rows(F32_F16),
            copies(F32_F16),
            softmax(F32_F16),
            attention(F32_F16),
            llama(F32_F16),
        ],
    },
    Profile {
        name: "gemma",
        about: "Gemma 2 and 3 with weights in bf16: capped scores, sliding windows, a gate of tanh-GELU",
        rules: &[
            PROGRAMS,
            weights(BF16),
            Rule::of(&["rms_norm", "add_rms_norm", "rope", "rope_write", "scatter_rows"], F32_BF16),
            Rule::of(&["geglu_tanh", "gelu_tanh", "tanh"], F32_BF16),
            rows(F32_BF16),
            copies(F32_BF16),
            softmax(F32_BF16),
            attention(F32_BF16),
            windows_and_caps(F32_BF16),
        ],
    },
    Profile {
        name: "gpt-oss",
        about: "gpt-oss: experts in MXFP4, other weights in bf16, attention with sinks and sliding windows, a clamped gate",
        rules: &[
            PROGRAMS,
            weights(BF16),
            Rule::of(&["matmul_id"], MXFP4),
            router(F32),
            Rule::of(&["clamp", "softmax"], F32),
            Rule::of(&["rms_norm", "add_rms_norm", "rope", "rope_write", "scatter_rows"], F32_BF16),
            rows(F32_BF16),
            copies(F32_BF16),
            attention(F32_BF16),
            windows_and_sinks(F32_BF16),
        ],
    },
    Profile {
        name: "bert",
        about: "BERT and sentence embeddings, weights in f32 or f16: LayerNorm, GELU, attention without a causal mask, mean pooling, L2 norm",
        rules: &[
            PROGRAMS,
            weights(F32_F16),
            layer_norm(F32),
            Rule::of(&["mean", "l2_norm", "tanh"], F32),
            rows(F32),
            copies(F32),
            softmax(F32),
            attention(F32),
        ],
    },
    Profile {
        name: "gpt2",
        about: "GPT-2 and its kin, weights in f32 or f16: LayerNorm, tanh-GELU, learned positions, causal attention",
        rules: &[
            PROGRAMS,
            weights(F32_F16),
            layer_norm(F32),
            Rule::of(&["scatter_rows"], F32_F16),
            rows(F32),
            copies(F32),
            softmax(F32),
            attention(F32),
        ],
    },
];
