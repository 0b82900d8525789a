//! The sweep: which probes at which sizes, how many rounds, best of how many.

use std::time::Duration;

use unisono_core::{Backend, DType, DeviceInfo, DeviceKind, ProbeKind, ProbeRun, Result};
use web_time::Instant;

use super::plausible::{self, Doubt};
use super::{Ceiling, Ceilings, MATRIX_TYPES, Unit, bytes, name, transfer, unit};
use crate::cold::CACHE_LIMIT;

/// Rounds of a probe at most where loops have limits: some drivers end one after 65,535.
const MAX_ROUNDS: u32 = 1 << 15;
/// Rounds at most on a processor.
const MAX_ROUNDS_CPU: u32 = 1 << 26;

/// The most bytes that a probe goes through, however large the caches.
const LARGEST: u64 = 4 << 30;
/// Attempts to see that twice the work takes longer.
const ATTEMPTS: usize = 5;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What a roofline needs: a few sizes, in seconds.
    Short,
    /// Every probe, and a sweep over sizes.
    Full,
}

/// How the sweep goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sweep {
    /// How much to measure.
    pub extent: Extent,
    /// The least length of a run.
    pub least: Duration,
    /// Runs of which the best counts.
    pub repeats: usize,
    /// After this much time the remaining probes run once each.
    pub limit: Duration,
}

impl Sweep {
    /// As suits the device: a software adapter needs longer runs, for its clock is the host's and its
    /// threads take turns with others.
    pub fn of(info: &DeviceInfo, extent: Extent) -> Sweep {
        let software = info.kind == DeviceKind::Software;
        let (least, repeats) = if software { (50, 3) } else { (20, 5) };
        Sweep { extent, least: Duration::from_millis(least), repeats, limit: Duration::from_secs(40) }
    }

    /// Sizes of all arrays of a probe together, powers of two: probes mask addresses. The largest
    /// leaves the last cache behind.
    fn sizes(&self, info: &DeviceInfo) -> Vec<u64> {
        let mut sizes: Vec<u64> = match self.extent {
            // In a cache close by, in the last one, in memory.
            Extent::Short => vec![256 << 10, 4 << 20, 256 << 20],
            Extent::Full => (0..8).map(|i| (16 << 10) << (2 * i)).collect(),
        };
        let beyond = info.limits.get(CACHE_LIMIT).map_or(0, |cache| cache.saturating_mul(4)).min(LARGEST);
        while let Some(&last) = sizes.last()
            && last < beyond
        {
            sizes.push(2 * last);
        }
        sizes.retain(|&bytes| bytes <= info.max_buffer_bytes);
        sizes
    }

    /// The probes, in the order they run.
    fn kinds(&self, info: &DeviceInfo) -> Vec<ProbeKind> {
        let mut kinds: Vec<ProbeKind> =
            vec![ProbeKind::Fma(DType::F32), ProbeKind::Fma(DType::F16), ProbeKind::DotInt8];
        for bytes in self.sizes(info) {
            // Each array is a power of two.
            let three = bytes / 4 * 3;
            kinds.extend([ProbeKind::Read { bytes }, ProbeKind::Copy { bytes }, ProbeKind::Triad { bytes: three }]);
        }
        if self.extent == Extent::Full {
            kinds.extend(MATRIX_TYPES.map(ProbeKind::Matrix));
            kinds.extend([ProbeKind::WorkgroupMemory, ProbeKind::SubgroupAdd]);
        }
        kinds.push(ProbeKind::Empty);
        kinds
    }
}

/// Measures every ceiling that the device has a probe for, and the way to it: submission and
/// transfers. `progress` hears what comes next.
pub fn measure(backend: &dyn Backend, sweep: &Sweep, progress: &mut dyn FnMut(&str)) -> Result<Ceilings> {
    let start = Instant::now();
    let width = plausible::width(backend.info());
    let mut found = Vec::new();
    for kind in sweep.kinds(backend.info()) {
        progress(&name(kind));
        let hurried = start.elapsed() >= sweep.limit;
        let repeats = if hurried { 1 } else { sweep.repeats };
        let Some((rounds, mut best)) = grow(backend, kind, sweep.least)? else { continue };
        let doubt = if hurried { None } else { growth(backend, kind, rounds)? };
        for _ in 1..repeats {
            if let Some(run) = backend.probe(kind, rounds)?
                && run.rate() > best.rate()
            {
                best = run;
            }
        }
        found.push(ceiling(kind, rounds, &best, doubt, width));
    }
    progress("submission and transfers");
    found.extend(transfer::measure(backend, sweep.extent)?);
    Ok(Ceilings(found))
}

/// Why the time of a probe does not grow with its work, if it does not: `rounds` against twice as
/// many, or against half of them where that is the limit. The best of several runs counts, so that a
/// disturbed one is no reason.
fn growth(backend: &dyn Backend, kind: ProbeKind, rounds: u32) -> Result<Option<Doubt>> {
    let twice = match rounds.checked_mul(2).filter(|&r| r <= most_rounds(backend.info())) {
        Some(twice) => twice,
        None => rounds & !1,
    };
    let mut best: Option<[ProbeRun; 2]> = None;
    let mut doubt = None;
    for _ in 0..ATTEMPTS {
        let (Some(once), Some(twice)) = (backend.probe(kind, twice / 2)?, backend.probe(kind, twice)?) else { break };
        let shorter = |old: ProbeRun, new: ProbeRun| if new.time < old.time { new } else { old };
        let runs = best.map_or([once, twice], |[a, b]| [shorter(a, once), shorter(b, twice)]);
        doubt = plausible::not_growing(&runs[0], &runs[1]);
        if doubt.is_none() {
            break;
        }
        best = Some(runs);
    }
    Ok(doubt)
}

fn ceiling(
    kind: ProbeKind,
    rounds: u32,
    best: &ProbeRun,
    doubt: Option<Doubt>,
    width: Option<plausible::Width>,
) -> Ceiling {
    let unit = unit(kind);
    let rate = best.rate();
    let doubt = width.and_then(|width| plausible::too_fast(kind, unit, rate, width)).or(doubt);
    Ceiling {
        name: name(kind),
        bytes: bytes(kind),
        unit,
        value: if unit == Unit::Seconds { 1.0 / rate } else { rate },
        seconds: best.time.as_secs_f64(),
        rounds,
        clock: best.clock.name().to_owned(),
        impossible: doubt.as_ref().is_some_and(|d| d.impossible),
        doubt: doubt.map(|d| d.why),
    }
}

fn most_rounds(info: &DeviceInfo) -> u32 {
    if info.kind == DeviceKind::Cpu { MAX_ROUNDS_CPU } else { MAX_ROUNDS }
}

/// Rounds for a run of at least `least`, and that run; `None` where there is no such probe.
fn grow(backend: &dyn Backend, kind: ProbeKind, least: Duration) -> Result<Option<(u32, ProbeRun)>> {
    let most = most_rounds(backend.info());
    // The first run builds the kernel and touches the memory.
    let mut rounds = 1;
    if backend.probe(kind, rounds)?.is_none() {
        return Ok(None);
    }
    loop {
        let Some(run) = backend.probe(kind, rounds)? else { return Ok(None) };
        if run.time >= least || rounds >= most {
            return Ok(Some((rounds, run)));
        }
        let factor = 1.2 * least.as_secs_f64() / run.time.as_secs_f64().max(1e-9);
        rounds = ((f64::from(rounds) * factor.clamp(2.0, 64.0)).ceil() as u32).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_and_leave_the_last_cache() {
        let mut info = DeviceInfo::new("cpu", "x", DeviceKind::Cpu);
        let sizes = |info: &DeviceInfo, extent| Sweep::of(info, extent).sizes(info);
        let full = sizes(&info, Extent::Full);
        assert_eq!((full.first(), full.last(), full.len()), (Some(&(16 << 10)), Some(&(256 << 20)), 8));
        info.limits.insert(CACHE_LIMIT.into(), 512 << 20);
        assert_eq!(sizes(&info, Extent::Short), [256 << 10, 4 << 20, 256 << 20, 512 << 20, 1 << 30, 2 << 30]);
        info.max_buffer_bytes = 128 << 20;
        assert_eq!(sizes(&info, Extent::Short), [256 << 10, 4 << 20]);
        // The arrays of each probe are powers of two.
        for kind in Sweep::of(&info, Extent::Full).kinds(&info) {
            let arrays = match kind {
                ProbeKind::Read { bytes } => bytes,
                ProbeKind::Copy { bytes } => bytes / 2,
                ProbeKind::Triad { bytes } => bytes / 3,
                _ => continue,
            };
            assert!(arrays.is_power_of_two(), "{kind:?}");
        }
    }
}
