//! Texts in one batch and each alone, on every device of this machine: what is equal bit for bit
//! and what is not, what a step costs, and a cache that no buffer can hold.

use unisono::ErrorKind;
use unisono_models::{Batch, BatchOptions, CacheKind, Model, ModelOptions, Session, tiny_llama};

const PAGED: CacheKind = CacheKind::Paged { pages: 64, page_size: 16 };

/// Prompts of eight texts, of different lengths.
fn prompts() -> Vec<Vec<u32>> {
    (0..8u32).map(|i| (0..3 + 5 * i).map(|j| (i * 131 + j * j * 17 + j) % 1024).collect()).collect()
}

/// Runs `check` with the embedded model on every device.
fn on_every_device(check: impl Fn(&Model, &str)) {
    for summary in unisono::devices() {
        let device = summary.open().unwrap();
        check(&Model::load(&device, &tiny_llama(), &ModelOptions::default()).unwrap(), &summary.id);
    }
}

/// What a batch predicts, in the order of its texts.
fn predictions(batch: &mut Batch) -> Vec<Vec<f32>> {
    let mut found = Vec::new();
    while batch.has_work() {
        found.extend(batch.step_logits().unwrap());
    }
    found.sort_by_key(|(id, _)| *id);
    found.into_iter().map(|(_, logits)| logits).collect()
}

/// The two largest logits and the place of the largest.
fn best(logits: &[f32]) -> (u32, f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    (order[0] as u32, logits[order[0]] - logits[order[1]])
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|z| z.to_bits()).collect()
}

/// Eight rows run other kernels than one, so sums are rounded in another order. The largest
/// difference seen is 1.2e-5, of logits up to about 15.
const APART: f32 = 1e-4;

#[test]
fn eight_texts_together_are_close_to_each_alone() {
    on_every_device(|model, id| {
        for cache in [CacheKind::Contiguous, PAGED] {
            let mut alone: Vec<Session> = prompts().iter().map(|_| model.session().unwrap()).collect();
            let mut expected: Vec<Vec<f32>> =
                alone.iter_mut().zip(prompts()).map(|(s, prompt)| s.prefill(&prompt).unwrap()).collect();
            let mut batch = model.batch(&BatchOptions { sequences: 8, cache }).unwrap();
            let ids: Vec<_> = prompts().iter().map(|prompt| batch.add(prompt).unwrap()).collect();
            for step in 0..8 {
                let found = predictions(&mut batch);
                assert_eq!(found.len(), 8);
                for (text, (together, alone)) in found.iter().zip(&expected).enumerate() {
                    let apart = together.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(apart < APART, "{id} {cache:?}: text {text} at step {step} is {apart} apart");
                    let (token, margin) = best(alone);
                    assert!(margin < 2.0 * APART || best(together).0 == token, "{id}: another token");
                }
                for ((text, session), id) in expected.iter_mut().zip(&mut alone).zip(&ids) {
                    let (token, _) = best(text);
                    batch.push(*id, token).unwrap();
                    *text = session.decode(token).unwrap();
                }
            }
        }
    });
}

#[test]
fn a_text_alone_in_a_batch_decodes_the_bits_of_a_session() {
    on_every_device(|model, id| {
        let prompt = &prompts()[4];
        let mut session = model.session().unwrap();
        session.prefill(prompt).unwrap();
        let mut batch = model.batch(&BatchOptions::default()).unwrap();
        let text = batch.add(prompt).unwrap();
        predictions(&mut batch);
        for token in [5, 900, 17, 4] {
            batch.push(text, token).unwrap();
            let expected = session.decode(token).unwrap();
            assert!(bits(&predictions(&mut batch)[0]) == bits(&expected), "{id}: after {token}");
        }
    });
}

#[test]
fn neighbours_do_not_change_a_bit_of_a_text() {
    on_every_device(|model, id| {
        for cache in [CacheKind::Contiguous, PAGED] {
            let run = |shift: u32| {
                let mut batch = model.batch(&BatchOptions { sequences: 8, cache }).unwrap();
                let mut ids = Vec::new();
                for (i, prompt) in prompts().iter().enumerate() {
                    // All but text 3 change; their lengths do not.
                    let shift = if i == 3 { 0 } else { shift };
                    let prompt: Vec<u32> = prompt.iter().map(|t| (t + shift) % 1024).collect();
                    ids.push(batch.add(&prompt).unwrap());
                }
                let mut found = vec![bits(&predictions(&mut batch)[3])];
                for step in 0..4 {
                    for (i, id) in ids.iter().enumerate() {
                        let shift = if i == 3 { 0 } else { shift };
                        batch.push(*id, (step * 100 + shift) % 1024).unwrap();
                    }
                    found.push(bits(&predictions(&mut batch)[3]));
                }
                found
            };
            assert!(run(0) == run(77), "{id} {cache:?}");
        }
    });
}

#[test]
fn a_decode_step_of_a_batch_compiles_nothing_and_is_one_submission() {
    on_every_device(|model, id| {
        for cache in [CacheKind::Contiguous, PAGED] {
            let device = model.device();
            let mut batch = model.batch(&BatchOptions { sequences: 8, cache }).unwrap();
            let ids: Vec<_> = prompts().iter().map(|prompt| batch.add(prompt).unwrap()).collect();
            while batch.has_work() {
                batch.step_tokens().unwrap();
            }
            let step = |batch: &mut Batch| {
                ids.iter().for_each(|&id| batch.push(id, 7).unwrap());
                assert_eq!(batch.step_tokens().unwrap().len(), 8);
            };
            step(&mut batch);
            let before = device.counters();
            (0..20).for_each(|_| step(&mut batch));
            let after = device.counters();
            assert_eq!((after.plans, after.kernels), (before.plans, before.kernels), "{id} {cache:?}: compiled");
            assert_eq!(after.submissions - before.submissions, 20, "{id} {cache:?}: one submission a step");
            assert_eq!(after.bytes_now, before.bytes_now, "{id} {cache:?}: memory is kept");
        }
    });
}

#[test]
fn a_cache_that_no_buffer_can_hold_is_refused_before_it_is_allocated() {
    on_every_device(|model, id| {
        let device = model.device();
        let (most, used) = (device.info().max_buffer_bytes, device.counters().bytes_now);
        // The keys of a page in one layer: 16 tokens, 4 heads of 16, f32.
        let pages = usize::try_from(most / (16 * 4 * 16 * 4) + 1).unwrap();
        let cache = CacheKind::Paged { pages, page_size: 16 };
        let error = model.batch(&BatchOptions { sequences: 2, cache }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{id}: {error}");
        let message = error.to_string();
        for part in ["largest buffer is", &format!("{pages} pages of 16 tokens, f32, 5 layers"), "a cache of f16"] {
            assert!(message.contains(part), "{id}: '{part}' is not in: {message}");
        }
        assert_eq!(device.counters().bytes_now, used, "{id}: something was allocated");
    });
}
