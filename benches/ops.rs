//! Hot operations of a Llama's decode and prefill, on every device.
//!
//! `cargo bench -p unisono-benches`, or `UNISONO_BENCH_DEVICES=cpu cargo bench …`. Speed on a
//! software adapter says nothing about a GPU; compare it only with other libraries there.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use unisono::{AttentionOptions, DType, Device, Result};
use unisono_benches::{Timed, data, devices};

const HIDDEN: usize = 1024;

type Case = (&'static str, u64, fn(&Device) -> Result<Timed>);

/// Name, bytes or operations of one run, and the operation.
const CASES: [Case; 5] = [
    ("matvec_f16_1x1024x1024", 2 * 1024 * 1024, |d| {
        let w = data(d, DType::F16, &[HIDDEN, HIDDEN])?;
        Timed::new(data(d, DType::F32, &[1, HIDDEN])?, |x| x.matmul_t(&w))
    }),
    ("matmul_f32_256x1024x1024", 2 * 256 * 1024 * 1024, |d| {
        let w = data(d, DType::F32, &[HIDDEN, HIDDEN])?;
        Timed::new(data(d, DType::F32, &[256, HIDDEN])?, |x| x.matmul_t(&w))
    }),
    ("rms_norm_f32_256x1024", 8 * 256 * 1024, |d| {
        let w = data(d, DType::F32, &[HIDDEN])?;
        Timed::new(data(d, DType::F32, &[256, HIDDEN])?, |x| x.rms_norm(&w, 1e-5))
    }),
    ("softmax_f32_256x1024", 8 * 256 * 1024, |d| {
        Timed::new(data(d, DType::F32, &[256, HIDDEN])?, |x| x.softmax(1.0, None, None))
    }),
    ("attention_decode_f16_h16_kv1024_d64", 2 * 2 * 4 * 1024 * 64, |d| {
        let k = data(d, DType::F16, &[1, 4, 1024, 64])?;
        let v = data(d, DType::F16, &[1, 4, 1024, 64])?;
        Timed::new(data(d, DType::F32, &[1, 16, 1, 64])?, |q| q.attention(&k, &v, AttentionOptions::default()))
    }),
];

fn ops(c: &mut Criterion) {
    let devices = devices().expect("the devices open");
    for (name, work, build) in CASES {
        let mut group = c.benchmark_group(name);
        group.sample_size(15).throughput(Throughput::Elements(work));
        for device in &devices {
            let timed = build(device).expect("the operation compiles");
            let id = BenchmarkId::from_parameter(format!("{} {}", device.info().id, device.info().api));
            group.bench_function(id, |b| {
                b.iter_custom(|iterations| {
                    let start = Instant::now();
                    timed.run(iterations).expect("the operation runs");
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, ops);
criterion_main!(benches);
