//! No false alarms: correct devices on random cases, none of which may fail.
//!
//! A device here is one of three orders of summation under one [`Arithmetic`] that WGSL admits. A run
//! is a case of the suite with a seed of its own on one such device. The suite has thousands of
//! shapes, chosen at the edges where kernels break; bounds depend on shapes through n alone, and on
//! data in every other way, so it is the data that a run draws anew. Run `i` is a function of the
//! seed and of `i`, so a run of a hundred thousand can be repeated, and each of them alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use unisono_conformance::{Case, CaseClass, Level, Outcome, check, find, suite};
use unisono_core::DType;

use crate::emulated::{Arithmetic, Host, Order};

/// Cases of more floating-point operations, or of larger operands, take too long by the thousand.
const MAX_FLOPS: u64 = 100_000;
const MAX_ELEMENTS: usize = 6_000;

/// How many failures are kept in words.
const KEPT: usize = 20;

/// The largest error / bound, and who came so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worst {
    /// error / bound; 0 where nothing deviates.
    pub ratio: f64,
    /// The case and the device.
    pub run: String,
}

impl Worst {
    fn keep(&mut self, other: Worst) {
        // Of equal ones the first in the alphabet, so that threads change nothing.
        let better = other.ratio > self.ratio || (other.ratio == self.ratio && other.run < self.run);
        if other.ratio > 0.0 && better {
            *self = other;
        }
    }
}

/// What a family has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// How many cases there are to draw from.
    pub cases: usize,
    /// Runs, each on one emulated device.
    pub runs: usize,
    /// Runs in which an element was over its bound: false alarms.
    pub failures: usize,
    /// Runs in which an element was over the probable error.
    pub warnings: usize,
    /// The largest error / bound in f32 results.
    pub worst: Worst,
    /// The same in 16-bit results, of which the store alone may cost nearly all.
    pub worst_short: Worst,
}

/// The result of many runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Soundness {
    /// By name.
    pub families: BTreeMap<String, Family>,
    /// The first failures, in words.
    pub failures: Vec<String>,
}

impl Soundness {
    /// Whether something ran and nothing failed.
    pub fn passed(&self) -> bool {
        let runs: usize = self.families.values().map(|f| f.runs).sum();
        runs > 0 && self.families.values().all(|f| f.failures == 0)
    }

    fn add(&mut self, case: &Case, host: Host) {
        let family = self.families.entry(case.family.to_string()).or_default();
        family.runs += 1;
        let run = format!("{} [{} {}]", case.id, host.order.name(), host.arithmetic.name());
        let outcomes = match outcomes(host, case) {
            Ok(outcomes) => outcomes,
            Err(reason) => {
                family.failures += 1;
                self.failures.push(format!("{run}: {reason}"));
                return;
            }
        };
        family.warnings += usize::from(outcomes.iter().any(|o| o.warnings > 0));
        for (outcome, desc) in outcomes.iter().zip(&case.desc.outputs) {
            let worst = Worst { ratio: outcome.worst_ratio, run: run.clone() };
            if desc.dtype == DType::F32 { family.worst.keep(worst) } else { family.worst_short.keep(worst) }
        }
        if let Some(o) = outcomes.iter().find(|o| !o.passed()) {
            family.failures += 1;
            if let Some(w) = o.worst.filter(|_| self.failures.len() < KEPT) {
                self.failures.push(format!(
                    "{run}: element {} is {:e} in place of {:e}, {:.3} of its bound",
                    w.index, w.actual, w.expected, o.worst_ratio
                ));
            }
        }
    }

    fn merge(&mut self, other: Soundness) {
        for (name, family) in other.families {
            let mine = self.families.entry(name).or_default();
            mine.runs += family.runs;
            mine.failures += family.failures;
            mine.warnings += family.warnings;
            mine.worst.keep(family.worst);
            mine.worst_short.keep(family.worst_short);
        }
        self.failures.extend(other.failures);
        self.failures.sort();
        self.failures.truncate(KEPT);
    }
}

/// The outcomes of a case on an emulated device that declares its numeric mode, one per output.
pub fn outcomes(host: Host, case: &Case) -> Result<Vec<Outcome>, String> {
    let inputs = (0..case.desc.inputs.len()).map(|i| case.input_bytes(i)).collect::<Result<Vec<_>, _>>();
    let inputs = inputs.map_err(|e| e.to_string())?;
    let modes: Vec<_> = host.mode.into_iter().collect();
    let expected = case.evaluate_with(&inputs, &modes).map_err(|e| e.to_string())?;
    let actual = host.run(case, &inputs);
    Ok(expected.iter().zip(&actual).zip(&case.desc.outputs).map(|((e, a), d)| check(e, d, a)).collect())
}

/// Whether an emulated device runs a case in an instant.
fn is_small(case: &Case) -> bool {
    let mut operands = case.desc.inputs.iter().chain(&case.desc.outputs);
    case.class == CaseClass::Counted
        && case.desc.flops() < MAX_FLOPS
        && operands.all(|d| d.elements() <= MAX_ELEMENTS)
        && Host::new(Order::Forward, Arithmetic::IEEE).runs(case)
}

/// Every device: three orders under every arithmetic.
pub fn devices() -> Vec<Host> {
    Order::ALL.into_iter().flat_map(|o| Arithmetic::all().into_iter().map(move |a| Host::new(o, a))).collect()
}

/// Runs `count` random cases on `threads` threads; each family gets as many as the others.
/// `progress` is called with the number of runs that are done.
pub fn run(count: usize, seed: u64, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Soundness {
    let mut families: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
    for case in suite(Level::Full).into_iter().filter(is_small) {
        families.entry(case.family).or_default().push(case);
    }
    let (pools, devices) = (families.values().collect::<Vec<_>>(), devices());
    let draw = |i: usize, result: &mut Soundness| {
        let words = [1, 2].map(|w| mix(seed ^ mix((i as u64) << 2 | w)));
        let pool = pools[i % pools.len()];
        let case = pool[words[0] as usize % pool.len()].with_seed(seed.wrapping_add(i as u64));
        result.add(&case, devices[words[1] as usize % devices.len()]);
    };
    let mut result = in_threads(count, threads, progress, &draw);
    for (name, cases) in &families {
        result.families.entry((*name).to_string()).or_default().cases = cases.len();
    }
    result
}

/// Runs the cases that `pattern` names (an id with any seed, a prefix, a glob) on every device; cases
/// without an emulated kernel are left out.
pub fn run_cases(pattern: &str, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Soundness {
    let host = Host::new(Order::Forward, Arithmetic::IEEE);
    let cases: Vec<Case> = find(pattern, Level::Full).into_iter().filter(|c| host.runs(c)).collect();
    let devices = devices();
    let draw = |i: usize, result: &mut Soundness| {
        result.add(&cases[i / devices.len()], devices[i % devices.len()]);
    };
    let mut result = in_threads(cases.len() * devices.len(), threads, progress, &draw);
    for case in &cases {
        result.families.entry(case.family.to_string()).or_default().cases += 1;
    }
    result
}

/// Calls `work` for each number below `count`, shared among threads by blocks.
fn in_threads(
    count: usize,
    threads: usize,
    progress: &(dyn Fn(usize) + Sync),
    work: &(dyn Fn(usize, &mut Soundness) + Sync),
) -> Soundness {
    const BLOCK: usize = 64;
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let total = Mutex::new(Soundness::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut mine = Soundness::default();
                loop {
                    let first = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if first >= count {
                        break;
                    }
                    let last = count.min(first + BLOCK);
                    (first..last).for_each(|i| work(i, &mut mine));
                    progress(done.fetch_add(last - first, Ordering::Relaxed) + last - first);
                }
                total.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(mine);
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The finaliser of splitmix64 (Steele, Lea & Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
