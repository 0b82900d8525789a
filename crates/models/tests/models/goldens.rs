//! The embedded model against its goldens, and small faults that the bound must catch. On the CPU
//! backend: the simple one would take minutes.

use unisono_core::Device;
use unisono_models::{Source, goldens, tiny_llama, verify, verify_source};

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-llama");

fn device() -> Device {
    Device::new(unisono_cpu::CpuBackend::new().unwrap())
}

#[test]
fn the_embedded_model_matches_its_goldens() {
    let result = verify(&device()).unwrap();
    assert!(result.passed(), "{result:?}");
    assert!(result.max_err_over_bound < 0.25, "the bound has little room: {result:?}");
}

#[test]
fn the_directory_is_the_embedded_model() {
    let from_dir = Source::from_dir(ASSETS).unwrap();
    let load = |s| unisono_models::Model::load(&device(), s, &Default::default()).unwrap();
    let mut sessions = [&from_dir, &tiny_llama()].map(|s| load(s).session().unwrap());
    let logits = sessions.each_mut().map(|s| s.prefill(&[0, 5, 9]).unwrap());
    assert_eq!(logits[0], logits[1]);
}

#[test]
fn small_faults_exceed_the_bound() {
    let read = |name: &str| std::fs::read(format!("{ASSETS}/{name}")).unwrap();
    let mut goldens = goldens().unwrap();
    goldens.prompts.truncate(1);
    let faults = [("rms_norm_eps", serde_json::json!(1e-6)), ("rope_theta", serde_json::json!(10_100.0))];
    for (field, value) in faults {
        let mut config: serde_json::Value = serde_json::from_slice(&read("config.json")).unwrap();
        config[field] = value;
        let weights = vec![("model.safetensors".to_owned(), read("model.safetensors").into())];
        let source = Source::from_bytes("fault", config.to_string().into_bytes(), weights)
            .with_tokenizer(read("tokenizer.json"));
        let result = verify_source(&device(), &source, &goldens).unwrap();
        assert!(result.max_err_over_bound > 1.0, "{field}: {result:?}");
    }
}
