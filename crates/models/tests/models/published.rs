//! Configurations with the fields of well-known published models, old and new.

use serde_json::{Value, json};
use unisono_models::{Activation, Architecture, ExpertsConfig, ModelConfig, RopeScaling};

fn parse(config: &Value) -> Result<ModelConfig, String> {
    ModelConfig::from_json(config.to_string().as_bytes()).map_err(|e| e.to_string())
}

fn with(mut config: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are fields") };
    for (name, value) in changes {
        config[name] = value;
    }
    config
}

fn without(mut config: Value, field: &str) -> Value {
    config.as_object_mut().unwrap().remove(field);
    config
}

/// The fields that all descendants of Llama have.
fn llama_like(class: &str, model_type: &str) -> Value {
    json!({
        "architectures": [class], "model_type": model_type, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.38.1",
        "use_cache": true, "vocab_size": 32000, "attention_dropout": 0.0
    })
}

#[test]
fn llama_2_and_3() {
    let two = json!({"intermediate_size": 11008, "num_key_value_heads": 32, "pretraining_tp": 1,
        "rope_scaling": null, "max_position_embeddings": 4096});
    let two = parse(&without(with(llama_like("LlamaForCausalLM", "llama"), two), "rope_theta")).unwrap();
    assert_eq!((two.architecture, two.rope.unwrap().theta), (Architecture::Llama, 1e4));
    let scaling = json!({"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let three = json!({"head_dim": 64, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "rope_scaling": scaling, "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256,
        "max_position_embeddings": 131072, "eos_token_id": [128001, 128008, 128009], "mlp_bias": false,
        "attention_bias": false, "pretraining_tp": 1});
    let three = parse(&with(llama_like("LlamaForCausalLM", "llama"), three)).unwrap();
    assert!(three.tie_word_embeddings && three.eos_token_ids.len() == 3 && three.sliding_window.is_none());
    let RopeScaling::Llama3 { factor, original_context, .. } = three.rope.unwrap().scaling else { panic!() };
    assert_eq!((factor, original_context), (32.0, 8192.0));
}

#[test]
fn mistral_and_mixtral() {
    let mistral = llama_like("MistralForCausalLM", "mistral");
    let first = parse(&with(mistral.clone(), json!({"sliding_window": 4096}))).unwrap();
    assert!((0..32).all(|layer| first.window(layer) == Some(4096)));
    let third = parse(&with(mistral.clone(), json!({"sliding_window": null}))).unwrap();
    assert_eq!((third.window(0), third.sliding_window), (None, None));
    assert_eq!(parse(&mistral).unwrap().window(31), Some(4096), "the default of transformers");

    let mixtral = json!({"num_experts_per_tok": 2, "num_local_experts": 8, "output_router_logits": false,
        "router_aux_loss_coef": 0.02, "sliding_window": null});
    let mixtral = parse(&with(llama_like("MixtralForCausalLM", "mixtral"), mixtral)).unwrap();
    assert_eq!(mixtral.experts, Some(ExpertsConfig { experts: 8, used: 2 }));
    assert_eq!(mixtral.window(0), None);
}

#[test]
fn qwen_2_and_3() {
    let fields = json!({"max_window_layers": 21, "sliding_window": 32768, "use_sliding_window": false,
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "vocab_size": 151936, "bos_token_id": 151643, "eos_token_id": 151645});
    let two = with(llama_like("Qwen2ForCausalLM", "qwen2"), fields);
    let config = parse(&two).unwrap();
    assert!(config.qkv_bias && !config.output_bias && config.window(23).is_none() && config.head_dim == 64);
    let config = parse(&with(two, json!({"use_sliding_window": true}))).unwrap();
    assert_eq!((config.window(20), config.window(21)), (None, Some(32768)));

    let fields = json!({"head_dim": 128, "hidden_size": 1024, "num_attention_heads": 16, "attention_bias": false,
        "max_window_layers": 28, "rope_scaling": null, "sliding_window": null, "use_sliding_window": false,
        "tie_word_embeddings": true, "vocab_size": 151936, "bos_token_id": 151643, "eos_token_id": 151645});
    let three = parse(&with(llama_like("Qwen3ForCausalLM", "qwen3"), fields)).unwrap();
    assert_eq!((three.q_size(), three.kv_size(), three.qkv_bias), (2048, 1024, false));
}

fn gemma2() -> Value {
    let fields = json!({"attention_bias": false, "attn_logit_softcapping": 50.0, "bos_token_id": 2,
        "cache_implementation": "hybrid", "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 128,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "pad_token_id": 0,
        "query_pre_attn_scalar": 144, "sliding_window": 4096, "rope_theta": 10000.0, "num_hidden_layers": 46});
    without(with(llama_like("Gemma2ForCausalLM", "gemma2"), fields), "tie_word_embeddings")
}

#[test]
fn gemma_2_and_3() {
    let two = parse(&gemma2()).unwrap();
    assert_eq!((two.attention_scale, two.embedding_scale), (1.0 / 12.0, Some(64.0)));
    assert_eq!((two.attention_softcap, two.final_softcap), (Some(50.0), Some(30.0)));
    assert!(two.tie_word_embeddings && two.hidden_act == Activation::GeluTanh && two.local_rope.is_none());
    assert_eq!((two.window(0), two.window(1), two.window(44)), (Some(4096), None, Some(4096)));

    let fields = json!({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
        "attn_logit_softcapping": null, "final_logit_softcapping": null, "rope_local_base_freq": 10000,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_theta": 1000000, "sliding_window": 512,
        "sliding_window_pattern": 6, "num_hidden_layers": 26});
    let old = parse(&with(gemma2(), fields)).unwrap();
    assert_eq!((old.attention_softcap, old.final_softcap), (None, None));
    assert_eq!((old.window(4), old.window(5), old.window(6)), (Some(512), None, Some(512)));
    let ropes = [old.layer_rope(4).unwrap(), old.layer_rope(5).unwrap()];
    assert_eq!((ropes[0].theta, &ropes[0].scaling), (1e4, &RopeScaling::None));
    assert_eq!((ropes[1].theta, &ropes[1].scaling), (1e6, &RopeScaling::Linear { factor: 8.0 }));

    // The same model as new versions write it.
    let types: Vec<&str> = (1..=26).map(|i| if i % 6 == 0 { "full_attention" } else { "sliding_attention" }).collect();
    let parameters = json!({
        "full_attention": {"factor": 8.0, "rope_theta": 1000000.0, "rope_type": "linear"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}});
    let fields = json!({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "dtype": "bfloat16",
        "attn_logit_softcapping": null, "final_logit_softcapping": null, "_sliding_window_pattern": 6,
        "layer_types": types, "rope_parameters": parameters, "sliding_window": 512, "num_hidden_layers": 26,
        "use_bidirectional_attention": false});
    assert_eq!(parse(&without(with(gemma2(), fields), "rope_theta")).unwrap(), old);
}

#[test]
fn gemma_3_with_images() {
    // The 4B model: what equals the defaults of transformers is left out.
    let outer = json!({"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02,
        "mm_tokens_per_image": 256, "model_type": "gemma3", "torch_dtype": "bfloat16",
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152, "image_size": 896, "model_type": "siglip_vision_model",
            "num_hidden_layers": 27, "vision_use_head": false}});
    let config = parse(&outer).unwrap();
    assert_eq!((config.architecture, config.num_hidden_layers), (Architecture::Gemma3, 34));
    assert_eq!((config.q_size(), config.kv_size(), config.vocab_size), (2048, 1024, 262_208));
    assert_eq!((config.window(4), config.window(5), config.max_position_embeddings), (Some(1024), None, 131_072));
    assert_eq!((config.eos_token_ids.as_slice(), config.attention_scale), (&[1, 106][..], 1.0 / 16.0));
    assert_eq!(config.rope.unwrap().scaling, RopeScaling::Linear { factor: 8.0 });
    assert!(parse(&without(outer.clone(), "text_config")).unwrap_err().contains("missing field text_config"));
    assert!(
        parse(&with(outer.clone(), json!({"text_config": 3})))
            .unwrap_err()
            .contains("text_config is 3; an object is wanted")
    );
    let bad = with(outer, json!({"text_config": {"hidden_size": "wide"}}));
    assert!(parse(&bad).unwrap_err().contains("text_config.hidden_size is \"wide\"; a whole number"));
}

#[test]
fn phi_3_and_4() {
    let fields = json!({"attention_bias": false, "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
        "embd_pdrop": 0.0, "resid_pdrop": 0.0, "hidden_size": 3072, "intermediate_size": 8192,
        "num_key_value_heads": 32, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
        "rope_scaling": null, "sliding_window": 2047, "eos_token_id": 32000, "vocab_size": 32064});
    let short = with(llama_like("Phi3ForCausalLM", "phi3"), fields);
    let config = parse(&short).unwrap();
    assert_eq!((config.head_dim, config.window(31), config.rope.unwrap().rotary_dim), (96, Some(2047), 96));

    let factors = vec![1.5; 48];
    for name in ["su", "longrope", "yarn"] {
        let scaling = json!({"long_factor": factors, "short_factor": factors, "type": name});
        let fields = json!({"rope_scaling": scaling, "max_position_embeddings": 131072, "sliding_window": 262144});
        let long = parse(&with(short.clone(), fields)).unwrap();
        let RopeScaling::LongRope { attention_factor, original_context, .. } = long.rope.unwrap().scaling else {
            panic!("{name}")
        };
        // √(1 + ln 32 / ln 4096)
        assert!((attention_factor - 1.190238).abs() < 1e-6 && original_context == 4096.0);
    }

    let scaling = json!({"long_factor": factors, "short_factor": factors, "type": "longrope"});
    let fields = json!({"num_attention_heads": 24, "num_key_value_heads": 8, "partial_rotary_factor": 0.75,
        "rope_scaling": scaling, "max_position_embeddings": 131072, "tie_word_embeddings": true,
        "vocab_size": 200064, "sliding_window": 262144, "full_attn_mod": 1, "interpolate_factor": 1});
    let four = parse(&with(short.clone(), fields)).unwrap();
    assert_eq!((four.head_dim, four.rope.unwrap().rotary_dim), (128, 96));
    let scaling = json!({"long_factor": [1.0], "short_factor": factors, "type": "longrope"});
    assert!(parse(&with(short, json!({"rope_scaling": scaling}))).unwrap_err().contains("long_factor of the rope"));
}

#[test]
fn gpt_2_and_bert() {
    let gpt2 = json!({"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
        "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_type": "cls_index",
        "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257});
    let config = parse(&gpt2).unwrap();
    assert_eq!((config.hidden_size, config.intermediate_size, config.head_dim), (768, 3072, 64));
    assert!(config.tie_word_embeddings && config.qkv_bias && config.mlp_bias && config.rope.is_none());
    assert_eq!((config.hidden_act, config.max_position_embeddings), (Activation::GeluTanh, 1024));
    assert!(parse(&without(gpt2.clone(), "n_embd")).unwrap_err().contains("missing field n_embd"));
    let crossed = parse(&with(gpt2, json!({"add_cross_attention": true}))).unwrap_err();
    assert!(crossed.contains("add_cross_attention"), "{crossed}");

    let bert = json!({"architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1,
        "gradient_checkpointing": false, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 0, "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0",
        "type_vocab_size": 2, "use_cache": true, "vocab_size": 30522});
    let config = parse(&bert).unwrap();
    assert!(config.architecture.is_encoder() && config.hidden_act == Activation::Gelu);
    assert_eq!((config.type_vocab_size, config.norm_eps), (2, 1e-12));
    for (field, value) in [("position_embedding_type", json!("relative_key")), ("is_decoder", json!(true))] {
        let message = parse(&with(bert.clone(), json!({field: value}))).unwrap_err();
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn each_fault_of_an_architecture_is_named() {
    let like = |class: &str, model_type: &str| llama_like(class, model_type);
    let mixtral =
        with(like("MixtralForCausalLM", "mixtral"), json!({"num_local_experts": 8, "num_experts_per_tok": 2}));
    let cases = [
        (without(mixtral.clone(), "num_experts_per_tok"), json!({}), "missing field num_experts_per_tok"),
        (mixtral.clone(), json!({"num_experts_per_tok": 9}), "num_experts_per_tok is 9 of 8"),
        (mixtral.clone(), json!({"num_experts_per_tok": 0}), "num_experts_per_tok is 0"),
        (mixtral, json!({"num_local_experts": 1 << 30}), "experts"),
        (like("MistralForCausalLM", "mistral"), json!({"sliding_window": 0}), "sliding_window is 0"),
        (like("MistralForCausalLM", "mistral"), json!({"attention_bias": true}), "attention_bias is true"),
        (like("MistralForCausalLM", "mistral"), json!({"layer_types": ["full_attention"]}), "1 entries for 32"),
        (like("MistralForCausalLM", "mistral"), json!({"layer_types": vec!["full_attention"; 32]}), "does not fit"),
        (like("Qwen3ForCausalLM", "qwen3"), json!({"layer_types": vec!["sliding_attention"; 32]}), "no sliding_window"),
        (like("Qwen2ForCausalLM", "qwen2"), json!({"layer_types": vec!["linear_attention"; 32]}), "linear_attention"),
        (gemma2(), json!({"final_logit_softcapping": 0.0}), "final_logit_softcapping is 0"),
        (gemma2(), json!({"query_pre_attn_scalar": -1.0}), "factor on attention scores is NaN"),
        (gemma2(), json!({"hidden_activation": "relu"}), "hidden_activation relu"),
        (gemma2(), json!({"rope_scaling": {"rope_type": "llama3"}}), "needs factor"),
        (
            with(gemma2(), json!({"architectures": ["Gemma3ForCausalLM"]})),
            json!({"attn_logit_softcapping": 50.0}),
            "attn_logit_softcapping is not supported",
        ),
        (
            with(gemma2(), json!({"architectures": ["Gemma3ForCausalLM"], "attn_logit_softcapping": null})),
            json!({"sliding_window_pattern": 0}),
            "sliding_window_pattern is 0",
        ),
    ];
    for (config, changes, expected) in cases {
        let message = parse(&with(config, changes.clone())).unwrap_err();
        assert!(message.starts_with("config.json: ") && message.contains(expected), "{changes}: {message}");
    }
}
