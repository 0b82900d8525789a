//! Generation with the embedded model, on the CPU backend: the simple one would take minutes.

use std::ops::ControlFlow;

use unisono_core::Device;
use unisono_models::{
    GenerateOptions, Generation, Model, ModelOptions, PerplexityOptions, Pooling, SampleOptions, StopReason, tiny_llama,
};

fn model() -> Model {
    let device = Device::new(unisono_cpu::CpuBackend::new().unwrap());
    Model::load(&device, &tiny_llama(), &ModelOptions::default()).unwrap()
}

/// Generates, and checks that what was streamed is the text.
fn generate(model: &Model, prompt: &str, options: &GenerateOptions) -> Generation {
    let mut streamed = String::new();
    let mut on_text = |piece: &str| {
        streamed.push_str(piece);
        ControlFlow::Continue(())
    };
    let found = model.session().unwrap().generate(prompt, options, &mut on_text).unwrap();
    assert_eq!(streamed, found.text);
    found
}

const PROMPT: &str = "Once upon a time";

#[test]
fn a_stop_string_ends_the_text_wherever_tokens_end() {
    let model = model();
    let base = GenerateOptions { max_new_tokens: 60, ..GenerateOptions::default() };
    let free = generate(&model, PROMPT, &base);
    assert!(free.text.len() > 60 && free.text.is_ascii(), "{}", free.text);
    // Every part of the text of a length ends it where it first stands.
    for (start, len) in (0..50).flat_map(|start| [(start, 1), (start, 3), (start, 9)]) {
        let stop = &free.text[start..start + len];
        let options = GenerateOptions { stop: vec!["\u{1}never".into(), stop.to_owned()], ..base.clone() };
        let found = generate(&model, PROMPT, &options);
        assert_eq!(found.text, free.text[..free.text.find(stop).unwrap()], "{stop:?}");
        assert_eq!(found.stop, StopReason::StopString(1));
        assert!(found.tokens.len() <= free.tokens.len());
    }
    // What only begins like a stop string is given out in the end.
    let almost = format!("{}\u{1}", &free.text[free.text.len() - 5..]);
    let options = GenerateOptions { stop: vec![almost], ..base };
    let found = generate(&model, PROMPT, &options);
    assert_eq!((found.text, found.stop), (free.text, free.stop));
}

#[test]
fn sampling_is_repeated_by_its_seed() {
    let model = model();
    let of = |seed| {
        let sample = SampleOptions { temperature: 1.0, top_p: 0.95, seed, ..SampleOptions::default() };
        let options = GenerateOptions { max_new_tokens: 24, sample, ..GenerateOptions::default() };
        generate(&model, PROMPT, &options).tokens
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    // A temperature close to 0 is greedy, chosen from logits on the host.
    let greedy = generate(&model, PROMPT, &GenerateOptions { max_new_tokens: 24, ..GenerateOptions::default() });
    let sample = SampleOptions { temperature: 1e-4, ..SampleOptions::default() };
    let options = GenerateOptions { max_new_tokens: 24, sample, ..GenerateOptions::default() };
    assert_eq!(generate(&model, PROMPT, &options).tokens, greedy.tokens);
    // A penalty changes the text and ends repetitions.
    let sample = SampleOptions { repetition_penalty: 1.5, ..SampleOptions::default() };
    let options = GenerateOptions { max_new_tokens: 24, sample, ..GenerateOptions::default() };
    assert_ne!(generate(&model, PROMPT, &options).tokens, greedy.tokens);
}

#[test]
fn every_end_has_its_reason() {
    let model = model();
    let limited = generate(&model, PROMPT, &GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() });
    assert_eq!((limited.stop, limited.tokens.len()), (StopReason::MaxNewTokens, 3));
    let options = GenerateOptions { max_new_tokens: 1000, ..GenerateOptions::default() };
    let ended = generate(&model, PROMPT, &options);
    assert_eq!(ended.stop, StopReason::EndOfText);
    assert!(!ended.tokens.iter().any(|t| model.config().eos_token_ids.contains(t)));
    let full = GenerateOptions { stop_at_eos: false, ..options.clone() };
    let full = generate(&model, PROMPT, &full);
    assert_eq!(full.stop, StopReason::ContextFull);
    // The last token was chosen when the context was full, and is not in it.
    assert_eq!(full.prompt_tokens + full.tokens.len(), model.context_len() + 1);
    let mut session = model.session().unwrap();
    let called = session.generate(PROMPT, &options, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((called.stop, called.tokens.len()), (StopReason::Callback, 1));
    assert_eq!(session.len(), called.prompt_tokens, "the last token was not read");
    let empty = GenerateOptions { stop: vec![String::new()], ..options };
    assert!(session.generate(PROMPT, &empty, &mut |_| ControlFlow::Continue(())).is_err());
}

#[test]
fn a_prompt_in_tokens_and_a_rewound_session_write_the_same() {
    let model = model();
    let options = GenerateOptions { max_new_tokens: 16, ..GenerateOptions::default() };
    let expected = generate(&model, PROMPT, &options);
    let prompt = model.tokenizer().unwrap().encode(PROMPT, true).unwrap();
    let mut session = model.session().unwrap();
    let mut quiet = |_: &str| ControlFlow::Continue(());
    for _ in 0..2 {
        let found = session.generate_tokens(&prompt, &options, &mut quiet).unwrap();
        assert_eq!(found.text, expected.text);
        assert_eq!(session.tokens(), [&prompt[..], &found.tokens[..15]].concat());
        session.truncate(0);
    }
    // Half of the prompt is there already.
    session.read(&prompt[..3]).unwrap();
    assert_eq!(session.generate_tokens(&prompt[3..], &options, &mut quiet).unwrap().text, expected.text);
}

#[test]
fn embeddings_pool_the_hidden_states() {
    let model = model();
    let mut session = model.session().unwrap();
    let tokens: Vec<u32> = (3..150).collect();
    let hidden = session.all_hidden(&tokens).unwrap();
    let width = model.config().hidden_size;
    assert_eq!(hidden.len(), tokens.len() * width);
    assert_eq!(session.embed(&tokens, Pooling::Last, false).unwrap(), hidden[hidden.len() - width..]);
    let mean = session.embed(&tokens, Pooling::Mean, false).unwrap();
    for (i, &x) in mean.iter().enumerate() {
        let expected: f64 = hidden.iter().skip(i).step_by(width).map(|&x| f64::from(x)).sum::<f64>() / 147.0;
        assert!((f64::from(x) - expected).abs() < 1e-5, "{i}: {x} {expected}");
    }
    let unit = session.embed(&tokens, Pooling::Mean, true).unwrap();
    let norm: f32 = unit.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    // A causal model: what follows does not change the state of an earlier token.
    let short = session.embed(&tokens[..20], Pooling::Last, false).unwrap();
    let close = short.iter().zip(&hidden[19 * width..]).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(close && session.embed(&[], Pooling::Last, false).is_err());
}

#[test]
fn perplexity_scores_each_token_once_with_its_context() {
    let model = model();
    let mut session = model.session().unwrap();
    let text: Vec<u32> = (0..70u32).map(|i| (i * i * 5 + 3) % 1024).collect();
    let vocab = model.config().vocab_size;
    for (window, stride) in [(70, 35), (32, 16), (32, 31), (8, 1), (2, 1)] {
        let mut told = Vec::new();
        let options = PerplexityOptions { window: Some(window), stride: Some(stride) };
        let found = session.perplexity(&text, options, &mut |done, all| told.push((done, all))).unwrap();
        // By the definition: the windows begin at multiples of the stride.
        let mut scores = Vec::new();
        for token in 1..text.len() {
            let begin = (0..).step_by(stride).find(|b| b + window > token).unwrap();
            session.reset();
            let logits = session.prefill(&text[begin..token]).unwrap();
            assert_eq!(logits.len(), vocab);
            let sum: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
            scores.push(sum.ln() - f64::from(logits[text[token] as usize]));
        }
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let error = (scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        assert_eq!((found.tokens, told.last()), (69, Some(&(69, 69))));
        assert!((found.mean - mean).abs() < 1e-5, "window {window}, stride {stride}: {} {mean}", found.mean);
        assert!((found.mean_error - error).abs() < 1e-5);
        assert!((found.value() - mean.exp()).abs() < 1e-3 * mean.exp());
    }
    let refused = |window, stride| {
        let options = PerplexityOptions { window: Some(window), stride: Some(stride) };
        model.session().unwrap().perplexity(&text, options, &mut |_, _| {}).unwrap_err()
    };
    assert!(refused(513, 4).to_string().contains("2 to 512"));
    assert!(refused(32, 32).to_string().contains("1 to 31"));
    let options = PerplexityOptions { window: None, stride: None };
    assert!(session.perplexity(&text[..1], options, &mut |_, _| {}).unwrap_err().to_string().contains("1 tokens"));
}

#[test]
fn the_generation_config_ends_texts() {
    let device = Device::new(unisono_cpu::CpuBackend::new().unwrap());
    let plain = model();
    let options = GenerateOptions { max_new_tokens: 12, ..GenerateOptions::default() };
    let tokens = generate(&plain, PROMPT, &options).tokens;
    // The first token that no earlier one is.
    let at = (2..tokens.len()).find(|&i| !tokens[..i].contains(&tokens[i])).unwrap();
    for list in [format!("{}", tokens[at]), format!("[0, {}]", tokens[at])] {
        let json = format!(r#"{{"eos_token_id": {list}, "temperature": 0.6, "top_p": 0.9, "do_sample": true}}"#);
        let source = tiny_llama().with_generation_config(json.into_bytes());
        let model = Model::load(&device, &source, &ModelOptions::default()).unwrap();
        let found = generate(&model, PROMPT, &options);
        assert_eq!((found.stop, &found.tokens[..]), (StopReason::EndOfText, &tokens[..at]), "{list}");
        assert!(plain.config().eos_token_ids.iter().all(|id| model.config().eos_token_ids.contains(id)));
    }
    for (json, part) in [("{", "generation_config.json"), (r#"{"eos_token_id": "x"}"#, "generation_config.json")] {
        let source = tiny_llama().with_generation_config(json.as_bytes());
        let message = Model::load(&device, &source, &ModelOptions::default()).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    for (json, notes) in [("{}", 0), (r#"{"eos_token_id": null}"#, 0), (r#"{"eos_token_id": 99999}"#, 1)] {
        let source = tiny_llama().with_generation_config(json.as_bytes());
        let model = Model::load(&device, &source, &ModelOptions::default()).unwrap();
        assert_eq!(
            (&model.config().eos_token_ids, model.notes().len()),
            (&plain.config().eos_token_ids, notes),
            "{json}"
        );
    }
}
