//! The configuration of a GGUF model is that of the same model at Hugging Face.

use unisono_models::{ModelConfig, Pooling};

use crate::tiny_gguf::source_of;
use crate::writer::{Field, Gguf};

/// A file of an architecture with the keys that all have: 2 layers, 4 heads over 32 elements, 10
/// tokens.
fn file(architecture: &str) -> Gguf {
    let mut file = Gguf::new();
    file.field("general.architecture", Field::text(architecture));
    let sizes = [
        ("block_count", 2),
        ("context_length", 64),
        ("embedding_length", 32),
        ("feed_forward_length", 48),
        ("attention.head_count", 4),
    ];
    for (key, size) in sizes {
        file.field(&format!("{architecture}.{key}"), Field::u32(size));
    }
    let eps = match architecture {
        "gpt2" | "bert" => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    file.field(&format!("{architecture}.{eps}"), Field::f32(0.5));
    file.field("tokenizer.ggml.bos_token_id", Field::u32(1));
    file.field("tokenizer.ggml.eos_token_id", Field::u32(2));
    file.floats("token_embd.weight", &[10, 32], &[0.0; 320]);
    file.floats("output.weight", &[10, 32], &[0.0; 320]);
    file.floats("output_norm.weight", &[32], &[1.0; 32]);
    file
}

fn config(file: &Gguf) -> ModelConfig {
    source_of(file.bytes()).and_then(|source| source.config()).unwrap()
}

fn refused(file: &Gguf) -> String {
    source_of(file.bytes()).unwrap_err().to_string()
}

/// The configuration of a Hugging Face model of the same sizes, with further fields.
fn hugging_face(class: &str, more: &str) -> ModelConfig {
    let json = format!(
        r#"{{"architectures": ["{class}"], "num_hidden_layers": 2, "max_position_embeddings": 64, "hidden_size": 32,
        "intermediate_size": 48, "num_attention_heads": 4, "rms_norm_eps": 0.5, "layer_norm_eps": 0.5, "vocab_size": 10,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": false {more}}}"#
    );
    ModelConfig::from_json(json.as_bytes()).unwrap()
}

#[test]
fn llama_and_what_has_its_layout() {
    let mut llama = file("llama");
    assert_eq!(config(&llama), hugging_face("LlamaForCausalLM", ""));
    llama.field("llama.attention.head_count_kv", Field::array(5, 2, &[2, 0, 0, 0, 2, 0, 0, 0]));
    llama.field("llama.rope.freq_base", Field::f32(5e5));
    llama.field("tokenizer.ggml.eot_token_id", Field::u32(3));
    llama.tensors.retain(|t| t.name != "output.weight");
    let expected = hugging_face("LlamaForCausalLM", r#", "num_key_value_heads": 2, "rope_theta": 500000"#);
    assert_eq!(config(&llama), ModelConfig { eos_token_ids: vec![2, 3], tie_word_embeddings: true, ..expected });
    llama.field("llama.attention.head_count_kv", Field::array(5, 2, &[2, 0, 0, 0, 1, 0, 0, 0]));
    assert!(refused(&llama).contains("llama.attention.head_count_kv is an array of i32; wanted is the same number"));

    let mut windowed = file("llama");
    windowed.field("llama.attention.sliding_window", Field::u32(16));
    assert_eq!(config(&windowed), hugging_face("MistralForCausalLM", r#", "sliding_window": 16"#));
    let mut experts = file("llama");
    experts.field("llama.expert_count", Field::u32(4)).field("llama.expert_used_count", Field::u32(2));
    let fields = r#", "num_local_experts": 4, "num_experts_per_tok": 2, "rope_theta": 10000, "sliding_window": null"#;
    assert_eq!(config(&experts), hugging_face("MixtralForCausalLM", fields));
}

#[test]
fn rotary_scaling() {
    let mut linear = file("llama");
    linear.field("llama.rope.scaling.type", Field::text("linear")).field("llama.rope.scaling.factor", Field::f32(4.0));
    let fields = r#", "rope_scaling": {"rope_type": "linear", "factor": 4}"#;
    assert_eq!(config(&linear), hugging_face("LlamaForCausalLM", fields));
    // Factors of a tensor count too.
    linear.floats("rope_freqs.weight", &[4], &[1.0, 1.0, 2.0, 8.0]);
    let fields = r#", "rope_scaling": {"rope_type": "factors", "factors": [4, 4, 8, 32]}"#;
    assert_eq!(config(&linear), hugging_face("LlamaForCausalLM", fields));
    linear.field("llama.rope.scaling.type", Field::text("yarn"));
    assert!(refused(&linear).contains("llama.rope.scaling.type is \"yarn\""));
    let mut odd = file("llama");
    odd.floats("rope_freqs.weight", &[3], &[1.0; 3]);
    assert!(refused(&odd).contains("tensor rope_freqs.weight is F32 [3]; F32 [4] is possible"));

    let mut yarn = file("qwen2");
    yarn.field("qwen2.rope.scaling.type", Field::text("yarn")).field("qwen2.rope.scaling.factor", Field::f32(4.0));
    assert!(refused(&yarn).contains("qwen2.rope.scaling.original_context_length is missing"));
    yarn.field("qwen2.rope.scaling.original_context_length", Field::u32(16));
    let fields = r#", "rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16}"#;
    assert_eq!(config(&yarn), hugging_face("Qwen2ForCausalLM", fields));

    let mut long = file("phi3");
    long.field("phi3.rope.dimension_count", Field::u32(6)).field("phi3.attention.sliding_window", Field::u32(0));
    long.field("phi3.rope.scaling.original_context_length", Field::u32(16));
    long.field("phi3.rope.scaling.attn_factor", Field::f32(1.25));
    long.floats("rope_factors_long.weight", &[3], &[2.0, 3.0, 4.0]);
    assert!(refused(&long).contains("rope_factors_short.weight is missing"));
    long.floats("rope_factors_short.weight", &[3], &[1.0, 1.0, 1.5]);
    let fields = r#", "partial_rotary_factor": 0.75, "original_max_position_embeddings": 16, "sliding_window": null,
        "rope_scaling": {"type": "longrope", "long_factor": [2, 3, 4], "short_factor": [1, 1, 1.5], "attention_factor": 1.25}"#;
    assert_eq!(config(&long), hugging_face("Phi3ForCausalLM", fields));
}

#[test]
fn qwen_and_gemma() {
    let mut qwen = file("qwen3");
    qwen.field("qwen3.attention.key_length", Field::u32(16)).field("qwen3.attention.value_length", Field::u32(16));
    qwen.field("qwen3.rope.freq_base", Field::f32(1e6));
    let fields = r#", "head_dim": 16, "rope_theta": 1000000"#;
    assert_eq!(config(&qwen), hugging_face("Qwen3ForCausalLM", fields));
    qwen.field("qwen3.attention.value_length", Field::u32(8));
    assert!(refused(&qwen).contains("qwen3.attention.value_length is U32(8); wanted is 16"));

    let mut gemma = file("gemma2");
    gemma.tensors.retain(|t| t.name != "output.weight");
    gemma.field("gemma2.attention.sliding_window", Field::u32(8));
    gemma.field("gemma2.attn_logit_softcapping", Field::f32(50.0));
    gemma.field("gemma2.final_logit_softcapping", Field::f32(30.0));
    let fields = r#", "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 50,
        "final_logit_softcapping": 30, "layer_types": ["sliding_attention", "full_attention"]"#;
    let tied = |config: ModelConfig| ModelConfig { tie_word_embeddings: true, ..config };
    assert_eq!(config(&gemma), tied(hugging_face("Gemma2ForCausalLM", fields)));
    gemma.field("gemma2.attention.scale", Field::f32(0.25));
    assert_eq!(config(&gemma).attention_scale, 0.25);

    let mut gemma = file("gemma3");
    gemma.tensors.retain(|t| t.name != "output.weight");
    gemma.field("gemma3.attention.sliding_window", Field::u32(8)).field("gemma3.rope.freq_base", Field::f32(1e6));
    gemma.field("gemma3.rope.scaling.type", Field::text("linear")).field("gemma3.rope.scaling.factor", Field::f32(8.0));
    let fields = r#", "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8, "rope_theta": 1000000,
        "rope_local_base_freq": 10000, "rope_scaling": {"rope_type": "linear", "factor": 8},
        "layer_types": ["sliding_attention", "sliding_attention"]"#;
    assert_eq!(config(&gemma), tied(hugging_face("Gemma3ForCausalLM", fields)));
    gemma.field("gemma3.attention.sliding_window_pattern", Field::array(7, 2, &[0, 1]));
    assert_eq!(config(&gemma).sliding_layers, [false, true]);
    gemma.field("gemma3.attention.sliding_window_pattern", Field::array(7, 3, &[0, 1, 1]));
    assert!(refused(&gemma).contains("wanted is 2 entries, one for each layer"));
}

#[test]
fn gpt2_and_bert() {
    let gpt2 = r#"{"architectures": ["GPT2LMHeadModel"], "n_layer": 2, "n_positions": 64, "n_embd": 32, "n_inner": 48,
        "n_head": 4, "layer_norm_epsilon": 0.5, "vocab_size": 10, "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": false}"#;
    assert_eq!(config(&file("gpt2")), ModelConfig::from_json(gpt2.as_bytes()).unwrap());
    let mut bert = file("bert");
    assert!(refused(&bert).contains("tensor token_types.weight is missing in tiny.gguf"));
    bert.floats("token_types.weight", &[2, 32], &[0.0; 64]);
    let expected = hugging_face("BertModel", r#", "type_vocab_size": 2"#);
    let tied = config(&bert).tie_word_embeddings;
    assert_eq!(config(&bert), ModelConfig { tie_word_embeddings: tied, ..expected });
    bert.field("bert.pooling_type", Field::u32(9));
    let wanted = "bert.pooling_type is U32(9); wanted is 0 (none), 1 (mean), 2 (first token) or 3 (last token)";
    assert!(refused(&bert).contains(wanted));
}

/// Decoders for embedding say how they are pooled; one that looks in both directions is refused, for
/// here each token sees those before it.
#[test]
fn decoders_for_embedding() {
    let mut qwen = file("qwen3");
    assert_eq!(config(&qwen).pooling, None);
    for (kind, pooling) in [(3, Some(Pooling::Last)), (1, Some(Pooling::Mean)), (0, None), (4, None)] {
        qwen.field("qwen3.pooling_type", Field::u32(kind));
        assert_eq!(config(&qwen).pooling, pooling, "{kind}");
    }
    qwen.field("qwen3.attention.causal", Field(7, vec![1]));
    config(&qwen);
    qwen.field("qwen3.attention.causal", Field(7, vec![0]));
    let message = refused(&qwen);
    assert!(message.contains("qwen3.attention.causal is Bool(false); wanted is true"), "{message}");
}

/// A default of another model, or -1 for none: the key is named, and the model loads.
#[test]
fn special_tokens_outside_the_vocabulary_become_notes() {
    let mut llama = file("llama");
    llama.field("tokenizer.ggml.bos_token_id", Field(5, (-1i32).to_le_bytes().to_vec()));
    llama.field("tokenizer.ggml.eot_token_id", Field::u32(10));
    llama.field("tokenizer.ggml.eom_token_id", Field::u32(u32::MAX));
    llama.field("tokenizer.ggml.padding_token_id", Field(5, (-1i32).to_le_bytes().to_vec()));
    llama.field("tokenizer.ggml.model", Field::text("gpt2"));
    llama.field("tokenizer.ggml.tokens", Field::texts(&["a", "b", "c"]));
    let source = source_of(llama.bytes()).unwrap();
    let config = source.config().unwrap();
    assert_eq!((&config.bos_token_ids[..], &config.eos_token_ids[..]), (&[][..], &[2][..]));
    assert_eq!(source.notes().len(), 3);
    assert_eq!(
        source.notes()[0],
        "tiny.gguf: tokenizer.ggml.bos_token_id -1 is outside the vocabulary of 10 and is ignored"
    );
    let vocabulary = source.vocabulary().unwrap();
    assert_eq!(
        (vocabulary.bos_id, vocabulary.eos_id, vocabulary.eot_id, vocabulary.pad_id),
        (None, Some(2), None, None)
    );
}

/// Errors of what the metadata becomes name the file, not a config.json that is not there.
#[test]
fn errors_name_the_gguf_file() {
    let mut llama = file("llama");
    llama.field("llama.attention.head_count_kv", Field::u32(3));
    let message = source_of(llama.bytes()).unwrap().config().unwrap_err().to_string();
    assert!(message.starts_with("tiny.gguf: its metadata as config.json: num_key_value_heads 3"), "{message}");
}

#[test]
fn each_fault_of_the_metadata_is_named() {
    let mut other = file("llama");
    other.field("general.architecture", Field::text("mamba"));
    assert!(refused(&other).contains("tiny.gguf: the architecture mamba is not supported; llama, qwen2"));
    let mut other = file("llama");
    other.field("llama.block_count", Field::u32(1 << 30));
    assert!(
        refused(&other).contains("llama.block_count is U32(1073741824); wanted is at most 3, the number of tensors")
    );
    let mut other = file("llama");
    other.field("llama.attention.layer_norm_rms_epsilon", Field::f32(f32::NAN));
    assert!(refused(&other).contains("wanted is a finite number"));
    let mut other = file("qwen2");
    other.field("qwen2.expert_count", Field::u32(8));
    assert!(refused(&other).contains("experts are supported for llama alone"));
    let mut other = file("llama");
    other.tensors.remove(0);
    assert!(refused(&other).contains("tensor token_embd.weight is missing in tiny.gguf"));
    let mut other = file("llama");
    other.tensors[0].dims = vec![320];
    assert!(refused(&other).contains("tensor token_embd.weight has shape [320], no matrix"));
}
