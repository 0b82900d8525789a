//! Several texts in one batch, against the reference of each alone.

use std::collections::HashMap;

use unisono_core::ErrorKind;
use unisono_models::{Batch, BatchOptions, CacheKind, Model, ModelOptions, SequenceId};

use crate::{reference, tiny};

const KINDS: [CacheKind; 4] = [
    CacheKind::Contiguous,
    CacheKind::Paged { pages: 64, page_size: 4 },
    CacheKind::Paged { pages: 27, page_size: 7 },
    CacheKind::Paged { pages: 100, page_size: 1 },
];

fn model(prefill_chunk: usize) -> Model {
    let options = ModelOptions { context_len: Some(32), prefill_chunk, ..ModelOptions::default() };
    Model::load(&tiny::device(), &tiny::source(), &options).unwrap()
}

fn batch(model: &Model, sequences: usize, cache: CacheKind) -> Batch {
    model.batch(&BatchOptions { sequences, cache }).unwrap()
}

/// A text that depends on `seed`.
fn text(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (seed * 7 + i * i * 3 + i) % tiny::VOCAB as u32).collect()
}

/// Runs until every text waits; gives what was predicted for each and after how many tokens.
fn drain(batch: &mut Batch) -> HashMap<SequenceId, (usize, Vec<f32>)> {
    let mut all = HashMap::new();
    while batch.has_work() {
        for (id, logits) in batch.step_logits().unwrap() {
            all.insert(id, (batch.tokens(id).unwrap().len(), logits));
        }
    }
    all
}

#[track_caller]
fn assert_predicts(text: &[u32], logits: &[f32], what: &str) {
    let expected = reference::forward(&tiny::tensors(), text).pop().unwrap();
    assert_eq!(logits.len(), expected.len(), "{what}");
    for (i, (&z, e)) in logits.iter().zip(&expected).enumerate() {
        assert!((f64::from(z) - e).abs() <= 2e-5, "{what}: logit {i} is {z}, not {e}");
    }
}

#[test]
fn texts_of_different_lengths_join_run_and_leave() {
    for cache in KINDS {
        let model = model(8);
        let mut batch = batch(&model, 3, cache);
        let long = batch.add(&text(1, 21)).unwrap();
        let short = batch.add(&text(2, 2)).unwrap();
        // The long prompt takes three steps; the short one is predicted in one of them.
        let first = drain(&mut batch);
        for (id, seed, len) in [(long, 1, 21), (short, 2, 2)] {
            assert_eq!(first[&id].0, len);
            assert_predicts(&text(seed, len), &first[&id].1, &format!("{cache:?}, prompt of {len}"));
        }
        // One more joins while the others decode.
        let third = batch.add(&text(3, 13)).unwrap();
        for len in 3..7 {
            batch.push(short, text(2, len)[len - 1]).unwrap();
            if len < 5 {
                batch.push(long, text(1, len + 19)[len + 18]).unwrap();
            }
            let found = drain(&mut batch);
            assert_predicts(&text(2, len), &found[&short].1, &format!("{cache:?}, short at {len}"));
            if len < 5 {
                assert_predicts(&text(1, len + 19), &found[&long].1, &format!("{cache:?}, long at {}", len + 19));
            }
            if len == 3 {
                assert_predicts(&text(3, 13), &found[&third].1, &format!("{cache:?}, third"));
            }
        }
        // One leaves, another takes its place and its pages.
        batch.remove(long).unwrap();
        let fourth = batch.add(&text(4, 17)).unwrap();
        batch.push(third, text(3, 14)[13]).unwrap();
        let found = drain(&mut batch);
        assert_predicts(&text(4, 17), &found[&fourth].1, &format!("{cache:?}, after another text"));
        assert_predicts(&text(3, 14), &found[&third].1, &format!("{cache:?}, beside a prompt"));
        assert!(batch.step_logits().unwrap().is_empty(), "nothing is left to read");
    }
}

#[test]
fn tokens_chosen_on_the_device_have_the_largest_logits() {
    for cache in KINDS {
        let model = model(8);
        let (mut a, mut b) = (batch(&model, 5, cache), batch(&model, 5, cache));
        for batch in [&mut a, &mut b] {
            for i in 0..5 {
                batch.add(&text(i, 1 + 3 * i as usize)).unwrap();
            }
        }
        let mut compared = 0;
        while a.has_work() {
            let (tokens, logits) = (a.step_tokens().unwrap(), b.step_logits().unwrap());
            assert_eq!(tokens.len(), logits.len());
            for ((id, token), (_, logits)) in tokens.into_iter().zip(logits) {
                let best = logits.iter().copied().fold(f32::MIN, f32::max);
                assert_eq!(logits[token as usize], best, "{cache:?}");
                compared += 1;
                if a.tokens(id).unwrap().len() < 20 {
                    a.push(id, token).unwrap();
                    b.push(id, token).unwrap();
                }
            }
        }
        assert!(compared > 60, "{compared}");
    }
}

#[test]
fn decode_steps_of_a_batch_compile_nothing_new() {
    for cache in KINDS {
        let model = model(8);
        let device = model.device().clone();
        let mut batch = batch(&model, 4, cache);
        // Every size is used once: prompts, then four, three, two and one text.
        let run = |batch: &mut Batch| {
            let ids: Vec<_> = (0..4).map(|i| batch.add(&text(i, 11)).unwrap()).collect();
            while batch.has_work() {
                batch.step_tokens().unwrap();
            }
            let mut steps = 0;
            for gone in ids.iter().map(Some).chain([None]) {
                for token in 0..3 {
                    batch.sequences().collect::<Vec<_>>().iter().for_each(|&id| batch.push(id, token).unwrap());
                    steps += usize::from(batch.has_work());
                    batch.step_tokens().unwrap();
                }
                gone.into_iter().for_each(|&id| batch.remove(id).unwrap());
            }
            steps
        };
        run(&mut batch);
        let before = device.counters();
        let steps = run(&mut batch);
        let after = device.counters();
        assert_eq!(steps, 12);
        assert_eq!(after.plans, before.plans, "{cache:?}: a plan was compiled");
    }
}

#[test]
fn an_exhausted_pool_is_an_error_that_changes_nothing() {
    let model = model(32);
    let mut batch = batch(&model, 3, CacheKind::Paged { pages: 5, page_size: 4 });
    let a = batch.add(&text(1, 8)).unwrap();
    drain(&mut batch);
    let b = batch.add(&text(2, 9)).unwrap();
    drain(&mut batch);
    assert_eq!(batch.pages(), Some([0, 5]));
    batch.push(a, 5).unwrap();
    let error = batch.step_logits().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("5 pages, 0 of them free, and 1 more are asked for"), "{error}");
    // Rewinding the other makes room, and the text goes on as if nothing had happened.
    batch.truncate(b, 4).unwrap();
    assert_eq!(batch.pages(), Some([2, 5]));
    let found = drain(&mut batch);
    assert_predicts(&[text(1, 8), vec![5]].concat(), &found[&a].1, "after the error");
    assert_predicts(&text(2, 4), &found[&b].1, "rewound");
    batch.remove(b).unwrap();
    batch.remove(a).unwrap();
    assert_eq!(batch.pages(), Some([5, 5]));
    let error = batch.add(&text(3, 21)).unwrap_err();
    assert!(error.to_string().contains("6 more are asked for"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let model = model(8);
    for (sequences, cache) in [
        (0, CacheKind::Contiguous),
        (1, CacheKind::Paged { pages: 0, page_size: 4 }),
        (1, CacheKind::Paged { pages: 4, page_size: 0 }),
        (usize::MAX, CacheKind::Contiguous),
        (1, CacheKind::Paged { pages: 1 << 40, page_size: 1 << 40 }),
    ] {
        assert!(model.batch(&BatchOptions { sequences, cache }).is_err(), "{sequences} {cache:?}");
    }
    let mut batch = batch(&model, 1, CacheKind::Contiguous);
    let message = |e: unisono_core::Error| e.to_string();
    assert!(message(batch.add(&[]).unwrap_err()).contains("no token"));
    assert!(message(batch.add(&[50]).unwrap_err()).contains("outside the vocabulary of 50"));
    assert!(message(batch.add(&[1; 33]).unwrap_err()).contains("33 tokens does not fit the context of 32"));
    let id = batch.add(&[1; 32]).unwrap();
    assert_eq!(batch.remaining(id).unwrap(), 0);
    assert!(message(batch.add(&[1]).unwrap_err()).contains("1 texts already"));
    assert!(batch.push(id, 1).is_err() && batch.truncate(id, 0).is_err());
    batch.remove(id).unwrap();
    assert!(message(batch.remove(id).unwrap_err()).contains("is not in the batch"));
    assert!(batch.push(id, 1).is_err() && batch.tokens(id).is_err());
}

#[test]
fn a_session_is_rewound() {
    let model = model(8);
    let mut session = model.session().unwrap();
    session.prefill(&text(1, 20)).unwrap();
    session.truncate(11);
    assert_eq!((session.len(), session.tokens()), (11, &text(1, 11)[..]));
    let other = text(9, 6);
    let logits = session.prefill(&other).unwrap();
    assert_predicts(&[text(1, 11), other].concat(), &logits, "after a rewind");
    session.truncate(100);
    assert_eq!(session.len(), 17);
}
