//! Devices that are too small: what was asked for, what there is, and what helps.

use std::sync::Arc;

use unisono_core::{DType, Device, Error, ErrorKind};
use unisono_models::{BatchOptions, CacheKind, Model, ModelOptions};
use unisono_tests::naive::Naive;

use crate::tiny;

/// A device with this much memory, which it states or does not.
fn small(bytes: u64, stated: bool) -> Device {
    Device::new(Arc::new(Naive::with_memory(bytes, stated)))
}

fn load(device: &Device, options: &ModelOptions) -> Result<Model, Error> {
    Model::load(device, &tiny::source(), options)
}

/// Bytes of the weights: all are f16.
fn weights() -> u64 {
    tiny::tensors().values().map(|(_, values)| values.len() as u64 * 2).sum()
}

#[track_caller]
fn explains(error: &Error, parts: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

#[test]
fn a_model_that_cannot_fit_is_refused_before_anything_is_uploaded() {
    let device = small(weights(), true);
    let error = load(&device, &ModelOptions::default()).unwrap_err();
    explains(&error, &["of weights", "key-value cache", "context of 64 tokens, f32, 2 layers", "a cache of f16"]);
    explains(&error, &["a smaller context", "0 bytes in use", "weights in a smaller format"]);
    assert_eq!(device.counters().bytes_peak, 0, "something was uploaded");
    // Cache of 64 tokens: 2 layers, keys and values, 2 heads of 8, f32.
    let cache = 64 * 2 * 2 * 2 * 8 * 4;
    let error = load(&small(weights() + cache - 1, true), &ModelOptions::default()).unwrap_err();
    explains(&error, &["16.0 KiB of key-value cache"]);
    let half = ModelOptions { cache_dtype: DType::F16, ..ModelOptions::default() };
    load(&small(weights() + cache - 1, true), &half).unwrap().session().unwrap();
}

#[test]
fn a_failed_allocation_is_explained_where_memory_is_not_stated() {
    let device = small(weights() / 2, false);
    let error = load(&device, &ModelOptions::default()).unwrap_err();
    explains(&error, &["of weights", "an unknown amount", "context of 64"]);

    let device = small(weights() + 8192, false);
    let model = load(&device, &ModelOptions::default()).unwrap();
    let error = model.session().unwrap_err();
    explains(&error, &["Asked for: 16.0 KiB of key-value cache (a context of 64 tokens, f32, 2 layers)"]);
    let used = device.counters().bytes_now;
    let error = model.batch(&BatchOptions::default()).unwrap_err();
    explains(&error, &["8 contexts of 64 tokens", "fewer texts at once", "a paged cache"]);
    assert_eq!(device.counters().bytes_now, used, "what was allocated is given back");
    let paged = |pages| BatchOptions { sequences: 8, cache: CacheKind::Paged { pages, page_size: 4 } };
    explains(&model.batch(&paged(64)).unwrap_err(), &["64 pages of 4 tokens", "fewer pages"]);
    model.batch(&paged(4)).unwrap();
}

#[test]
fn loading_is_counted() {
    let mut seen = Vec::new();
    let mut progress = |done, total| seen.push((done, total));
    Model::load_with_progress(&tiny::device(), &tiny::source(), &ModelOptions::default(), &mut progress).unwrap();
    let total = weights();
    assert_eq!((seen[0], seen[seen.len() - 1]), ((0, total), (total, total)));
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0) && seen.len() > tiny::tensors().len(), "{seen:?}");
    assert!(seen.iter().any(|&(done, _)| done > total / 4 && done < total));
}
