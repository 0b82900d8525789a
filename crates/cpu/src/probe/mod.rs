//! The processor's ceilings, with the vector instructions and the threads that kernels use.
//!
//! Every thread runs the same loop; memory is cut into one part for each. Loop counts and results go
//! through [`black_box`], so that no work can be folded or left out.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unisono_core::{Clock, DType, Error, ErrorKind, ProbeKind, ProbeRun, Result};

use crate::pool::Pool;
use crate::simd::Simd;

/// Bytes that fit into any first-level cache.
const FIRST_LEVEL_BYTES: usize = 16 << 10;

/// How often a thread looks for the others before it yields.
const LOOKS: usize = 2000;

/// One loop for each vector level: what it does in one round is in its name's documentation.
#[derive(Clone, Copy)]
struct Loops {
    /// Multiply-adds; operations of a round.
    fma: (fn(u32) -> f32, u32),
    /// Dot products of 8-bit integers; operations of a round.
    dot_int8: (fn(u32) -> i32, u32),
    /// Sums over vector registers; elements of a round.
    sum: (fn(u32) -> f32, u32),
    /// The sum of an array, `rounds` times.
    read: fn(&[f32], u32) -> f32,
    /// Copies an array.
    copy: fn(&[f32], &mut [f32], u32),
    /// `y = a + s·b`.
    triad: fn(&[f32], &[f32], &mut [f32], u32),
}

fn loops(simd: Simd) -> Loops {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => avx512::loops(),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => x86::LOOPS,
        Simd::Portable => portable::LOOPS,
    }
}

/// Runs a probe on every thread of `pool`; none for what the kernels of this backend have no
/// instructions for.
pub(crate) fn run(kind: ProbeKind, rounds: u32, pool: &Pool, simd: Simd) -> Result<Option<ProbeRun>> {
    let rounds = black_box(rounds.max(1));
    let (threads, loops) = (pool.threads(), loops(simd));
    let count = f64::from(rounds) * threads as f64;
    let timed = |work: f64, task: &(dyn Fn(usize) + Sync)| {
        let start = Instant::now();
        pool.run(threads, task);
        Some(ProbeRun { work, time: start.elapsed().max(Duration::from_nanos(1)), clock: Clock::Host })
    };
    Ok(match kind {
        ProbeKind::Fma(DType::F32) => timed(count * f64::from(loops.fma.1), &|_| {
            black_box(loops.fma.0(rounds));
        }),
        ProbeKind::DotInt8 => timed(count * f64::from(loops.dot_int8.1), &|_| {
            black_box(loops.dot_int8.0(rounds));
        }),
        ProbeKind::SubgroupAdd => timed(count * f64::from(loops.sum.1), &|_| {
            black_box(loops.sum.0(rounds));
        }),
        ProbeKind::Read { bytes } => memory(1, bytes, rounds, pool, loops)?,
        ProbeKind::Copy { bytes } => memory(2, bytes, rounds, pool, loops)?,
        ProbeKind::Triad { bytes } => memory(3, bytes, rounds, pool, loops)?,
        ProbeKind::WorkgroupMemory => memory(1, (FIRST_LEVEL_BYTES * threads) as u64, rounds, pool, loops)?,
        ProbeKind::Empty => {
            let start = Instant::now();
            (0..rounds).for_each(|_| meet(pool, &|| ()));
            Some(ProbeRun { work: f64::from(rounds), time: start.elapsed(), clock: Clock::Host })
        }
        _ => None,
    })
}

/// A region in which every thread takes part: none leaves before all have come. Without that the
/// caller would do the empty tasks itself, and nobody would be woken. Each calls `task`.
fn meet(pool: &Pool, task: &(dyn Fn() + Sync)) {
    let (threads, come) = (pool.threads(), AtomicUsize::new(0));
    pool.run(threads, &|_| {
        task();
        come.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0;
        while come.load(Ordering::Acquire) < threads {
            looks += 1;
            // On a machine that is busy the others need this core.
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    });
}

/// Numbers that loops take at a time.
const PIECE: usize = 64;

/// A piece of an array. It begins with a line of the cache, as the memory of tensors does: a load across two lines
/// counts twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Piece(#[expect(dead_code, reason = "read through pointers to its numbers")] [f32; PIECE]);

/// A part of the arrays that one thread works on.
struct Part {
    a: *const f32,
    b: *const f32,
    y: *mut f32,
    len: usize,
}
// SAFETY: parts of different threads do not overlap, and the arrays outlive the region.
unsafe impl Sync for Part {}

/// `streams` arrays of `bytes / streams` bytes each: one is read, two copied, three added.
fn memory(streams: usize, bytes: u64, rounds: u32, pool: &Pool, loops: Loops) -> Result<Option<ProbeRun>> {
    let threads = pool.threads();
    let lines = (bytes as usize / streams / threads / size_of::<Piece>()).max(1);
    let (len, total) = (lines * PIECE, lines * PIECE * threads);
    let make = || {
        let mut array: Vec<Piece> = Vec::new();
        let failed = |_| Error::new(ErrorKind::OutOfMemory, format!("no memory for {total} numbers")).on_device("cpu");
        array.try_reserve_exact(lines * threads).map_err(failed)?;
        array.resize(lines * threads, Piece([1.0; PIECE]));
        Ok(array)
    };
    let (a, b) = (make()?, if streams > 2 { make()? } else { Vec::new() });
    let mut y = if streams > 1 { make()? } else { Vec::new() };
    let (a, b, y) = (a.as_ptr().cast::<f32>(), b.as_ptr().cast::<f32>(), y.as_mut_ptr().cast::<f32>());
    let parts: Vec<Part> = (0..threads)
        .map(|i| Part { a: a.wrapping_add(i * len), b: b.wrapping_add(i * len), y: y.wrapping_add(i * len), len })
        .collect();
    let task = |i: usize| {
        let Part { a, b, y, len } = parts[i];
        // SAFETY: part `i` lies inside every array that there is (`b` for three streams, `y` for two),
        // and no other task touches its part of `y`.
        unsafe {
            let a = std::slice::from_raw_parts(a, len);
            match streams {
                1 => {
                    black_box((loops.read)(a, rounds));
                }
                2 => (loops.copy)(a, std::slice::from_raw_parts_mut(y, len), rounds),
                _ => {
                    let b = std::slice::from_raw_parts(b, len);
                    (loops.triad)(a, b, std::slice::from_raw_parts_mut(y, len), rounds);
                }
            }
        }
    };
    let start = Instant::now();
    pool.run(threads, &task);
    let time = start.elapsed().max(Duration::from_nanos(1));
    let work = f64::from(rounds) * (total * streams * size_of::<f32>()) as f64;
    Ok(Some(ProbeRun { work, time, clock: Clock::Host }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;

    const KINDS: [ProbeKind; 8] = [
        ProbeKind::Fma(DType::F32),
        ProbeKind::DotInt8,
        ProbeKind::SubgroupAdd,
        ProbeKind::WorkgroupMemory,
        ProbeKind::Read { bytes: 1 << 20 },
        ProbeKind::Copy { bytes: 1 << 20 },
        ProbeKind::Triad { bytes: 1 << 20 },
        ProbeKind::Empty,
    ];

    #[test]
    fn every_probe_runs_on_every_level_and_counts_its_work() {
        let pool = Pool::new(2);
        for simd in Simd::all() {
            for kind in KINDS {
                let one = run(kind, 1, &pool, simd).unwrap().unwrap();
                let ten = run(kind, 10, &pool, simd).unwrap().unwrap();
                assert!(one.work > 0.0 && ten.time > Duration::ZERO, "{kind:?}");
                assert_eq!(ten.work, 10.0 * one.work, "{kind:?}");
            }
            assert!(run(ProbeKind::Fma(DType::F16), 1, &pool, simd).unwrap().is_none());
        }
    }

    #[test]
    fn an_empty_region_is_not_left_to_the_caller() {
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            for _ in 0..200 {
                let seen = Mutex::new(HashSet::new());
                meet(&pool, &|| {
                    seen.lock().unwrap().insert(std::thread::current().id());
                });
                assert_eq!(seen.into_inner().unwrap().len(), pool.threads());
            }
        }
    }

    #[test]
    fn loops_compute_what_they_say() {
        let a: Vec<f32> = (0..128).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..128).map(|i| (2 * i) as f32).collect();
        for simd in Simd::all() {
            let loops = loops(simd);
            assert_eq!((loops.read)(&a, 3), 3.0 * (127 * 64) as f32);
            let mut y = vec![0.0; 128];
            (loops.copy)(&a, &mut y, 2);
            assert_eq!(y, a);
            (loops.triad)(&a, &b, &mut y, 1);
            assert!(y.iter().zip(&a).all(|(y, a)| *y == a + 0.5 * 2.0 * a), "{simd:?}");
            assert!((loops.fma.0)(1000).is_finite());
        }
    }
}
