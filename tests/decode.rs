//! Generation on every device of this machine: what a decode step may cost, and that all devices
//! write the same.

use std::ops::ControlFlow;

use unisono_models::{GenerateOptions, Model, ModelOptions, tiny_llama};

#[test]
fn a_decode_step_compiles_nothing_and_is_one_submission() {
    for summary in unisono::devices() {
        let device = summary.open().unwrap();
        let model = Model::load(&device, &tiny_llama(), &ModelOptions::default()).unwrap();
        let mut session = model.session().unwrap();
        let mut token = session.prefill_token(&[0, 5, 9]).unwrap();
        token = session.decode_token(token).unwrap();
        let before = device.counters();
        for _ in 0..8 {
            token = session.decode_token(token).unwrap();
        }
        let after = device.counters();
        assert_eq!(after.plans, before.plans, "{}: no new plan", summary.id);
        assert_eq!(after.kernels, before.kernels, "{}: no new kernel", summary.id);
        assert_eq!(after.submissions - before.submissions, 8, "{}: one submission a step", summary.id);
        assert_eq!(after.bytes_now, before.bytes_now, "{}: no memory is kept", summary.id);
    }
}

#[test]
fn every_device_writes_the_same_text() {
    let options = GenerateOptions { max_new_tokens: 24, ..GenerateOptions::default() };
    let mut texts = Vec::new();
    for summary in unisono::devices() {
        let device = summary.open().unwrap();
        let model = Model::load(&device, &tiny_llama(), &ModelOptions::default()).unwrap();
        let mut streamed = String::new();
        let mut on_text = |piece: &str| {
            streamed.push_str(piece);
            ControlFlow::Continue(())
        };
        let result = model.session().unwrap().generate("Once upon a time", &options, &mut on_text).unwrap();
        assert_eq!(streamed, result.text, "{}: what was streamed is the text", summary.id);
        texts.push((summary.id, result.text));
    }
    assert!(texts[0].1.len() > 20, "{texts:?}");
    assert!(texts.iter().all(|(_, text)| *text == texts[0].1), "{texts:?}");
}
