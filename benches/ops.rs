//! Hot operations of a Llama's decode and prefill, on every device.
//!
//! `cargo bench -p unisono-benches`, or `UNISONO_BENCH_DEVICES=cpu cargo bench …`. Without `--bench`
//! (under `cargo test`) each runs once. Speed on a software adapter says nothing about a GPU; compare
//! it only with other libraries there.

use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use unisono::DType;
use unisono_bench::cases::{Item, Selection, items};
use unisono_bench::data::Patterns;
use unisono_benches::{DeviceTime, bound, devices};

/// Operands up to this many bytes: all of a layer, not the vocabulary.
const MOST_BYTES: u64 = 64 << 20;

fn hot() -> Vec<Item> {
    let selection = Selection {
        sets: vec!["llama-decode".to_owned(), "llama-prefill".to_owned()],
        shapes: vec!["1b".to_owned()],
        dtypes: vec![DType::F16, DType::Q4_0],
        tokens: Some(32),
        ..Selection::default()
    };
    let mut items = items(&selection, &mut Patterns::new()).expect("the sets exist");
    items.retain(|item| item.desc.bytes() <= MOST_BYTES);
    items
}

fn ops(c: &mut Criterion<DeviceTime>) {
    let time = DeviceTime::default();
    let devices = devices().expect("the names are those of devices");
    for item in hot() {
        let mut group = c.benchmark_group(&item.id);
        group.throughput(Throughput::Bytes(item.desc.bytes()));
        for lazy in &devices {
            let id = BenchmarkId::from_parameter(format!("{} {}", lazy.summary.id, lazy.summary.api));
            group.bench_function(id, |b| {
                let device = lazy.device().expect("the device opens");
                let measured = bound(device, &item, |operation| {
                    b.iter_custom(|iterations| {
                        let start = time.start();
                        time.run(operation, iterations).expect("the operation runs");
                        time.end(start)
                    });
                });
                measured.expect("the operation compiles");
            });
        }
        group.finish();
    }
}

fn config() -> Criterion<DeviceTime> {
    Criterion::default()
        .with_measurement(DeviceTime::default())
        .sample_size(15)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = config(); targets = ops }
criterion_main!(benches);
