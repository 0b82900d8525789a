//! Which figures cannot be: faster than clock and width allow, or not growing with the work.

use unisono_core::{DeviceInfo, DeviceKind, ProbeKind, ProbeRun};

use super::Unit;

/// No processor in trade has a faster clock, in Hz; what is assumed where a device does not say.
const FASTEST_CLOCK: f64 = 6.5e9;

/// The name under which a device states its clock, in its limits.
pub(super) const CLOCK_LIMIT: &str = "clock-hz";

/// How much longer twice the work must take, at least. Below it the machine was too noisy to tell.
const GROWTH: f64 = 1.4;

/// No noise explains so little growth at the best of several runs: the work was not done.
const NO_GROWTH: f64 = 1.1;

/// Why a figure is not believed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doubt {
    /// What speaks against it.
    pub(super) why: String,
    /// Whether it cannot be, rather than being uncertain.
    pub(super) impossible: bool,
}

/// What a processor's cores can do at most: clock × vector width × units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    cycles: f64,
    bytes: f64,
}

/// Clock and width of a device, where it is a processor that says how many threads it has and which
/// vectors.
pub(super) fn width(info: &DeviceInfo) -> Option<Width> {
    if info.kind != DeviceKind::Cpu {
        return None;
    }
    let threads: f64 = info.properties.get("threads")?.parse().ok()?;
    let has = |name: &str| info.features.iter().any(|f| f.contains(name));
    let bytes = match () {
        () if has("avx512") => 64.0,
        () if has("avx2") => 32.0,
        () => 16.0,
    };
    let clock = info.limits.get(CLOCK_LIMIT).map_or(FASTEST_CLOCK, |&hz| hz as f64);
    Some(Width { cycles: threads * clock, bytes })
}

/// Why a run of `kind` is faster than `width` allows, if it is.
///
/// Two multiply-add units and three load ports of a vector each per core and cycle, four for what
/// needs no multiplier: the widest cores in trade.
pub(super) fn too_fast(kind: ProbeKind, unit: Unit, rate: f64, width: Width) -> Option<Doubt> {
    let element = match kind {
        ProbeKind::Fma(dtype) | ProbeKind::Matrix(dtype) => dtype.block_bytes() as f64,
        ProbeKind::SubgroupAdd => 4.0,
        _ => 1.0,
    };
    let (most, what) = match (unit, kind) {
        (Unit::Operations, ProbeKind::Matrix(_)) => return None,
        (Unit::Operations, _) => (width.cycles * 2.0 * 2.0 * width.bytes / element, "operations"),
        (Unit::Bytes, _) => (width.cycles * 3.0 * width.bytes, "bytes"),
        (Unit::Elements, _) => (width.cycles * 4.0 * width.bytes / element, "elements"),
        (Unit::Seconds, _) => return None,
    };
    let why = || format!("{rate:.2e} {what}/s; clock and width allow {most:.2e}");
    (rate > most).then(|| Doubt { why: why(), impossible: true })
}

/// Why two runs of a probe, the second with twice the rounds, do not measure its work.
pub(super) fn not_growing(once: &ProbeRun, twice: &ProbeRun) -> Option<Doubt> {
    let growth = twice.time.as_secs_f64() / once.time.as_secs_f64().max(1e-12);
    let work = twice.work / once.work.max(f64::MIN_POSITIVE);
    if !(1.9..2.1).contains(&work) {
        return Some(Doubt { why: format!("twice the rounds are {work:.2} times the work"), impossible: true });
    }
    let why = || format!("twice the work takes {growth:.2} times as long");
    (growth < GROWTH).then(|| Doubt { why: why(), impossible: growth < NO_GROWTH })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unisono_core::{Clock, DType};

    fn cpu() -> DeviceInfo {
        let mut info = DeviceInfo::new("cpu", "x", DeviceKind::Cpu);
        info.features = vec!["avx2".into(), "fma".into()];
        info.properties.insert("threads".into(), "2".into());
        info.limits.insert(CLOCK_LIMIT.into(), 3_500_000_000);
        info
    }

    #[test]
    fn clock_times_width_bounds_every_rate() {
        let width = width(&cpu()).unwrap();
        let fma = |rate| too_fast(ProbeKind::Fma(DType::F32), Unit::Operations, rate, width);
        // 2 cores × 3.5 GHz × 2 units × 8 lanes × 2.
        assert!(fma(223e9).is_none() && fma(225e9).unwrap().impossible);
        let read = |rate| too_fast(ProbeKind::Read { bytes: 1 }, Unit::Bytes, rate, width);
        assert!(read(400e9).is_none() && read(700e9).is_some());
        assert!(super::width(&DeviceInfo::new("x", "x", DeviceKind::DiscreteGpu)).is_none());
    }

    #[test]
    fn work_that_was_removed_is_noticed() {
        let run = |work, ms| ProbeRun { work, time: Duration::from_millis(ms), clock: Clock::Device };
        assert!(not_growing(&run(1.0, 20), &run(2.0, 40)).is_none());
        let removed = not_growing(&run(1.0, 20), &run(2.0, 21)).unwrap();
        assert!(removed.impossible && removed.why.contains("takes 1.05"), "{removed:?}");
        let noisy = not_growing(&run(1.0, 20), &run(2.0, 26)).unwrap();
        assert!(!noisy.impossible && noisy.why.contains("takes 1.30"), "{noisy:?}");
        let other = not_growing(&run(1.0, 20), &run(1.0, 40)).unwrap();
        assert!(other.impossible && other.why.contains("times the work"), "{other:?}");
    }
}
