//! What a device can do at most, measured by kernels made for nothing else.
//!
//! A probe does its work in a loop whose count is data; the sweep makes that count grow until a run
//! is long enough for the clock, and keeps the best of several: a ceiling is what can be had, not
//! what is usual. Every figure is examined: a compiler that removed the work would give
//! a wonderful one.

mod plausible;
#[cfg(not(target_family = "wasm"))]
mod sweep;
#[cfg(not(target_family = "wasm"))]
mod transfer;

use serde::{Deserialize, Serialize};
use unisono_core::{DType, ProbeKind};

#[cfg(not(target_family = "wasm"))]
pub use sweep::{Extent, Sweep, measure};

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes per second.
    Bytes,
    /// Operations per second; a multiply-add counts as two.
    Operations,
    /// Elements per second.
    Elements,
    /// Seconds of one: a launch, a submission, a round trip.
    Seconds,
}

/// One measured ceiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// `read`, `copy`, `triad`, `fma_f32`, `matrix_f16`, `empty`, …
    pub name: String,
    /// Size of the arrays together, where the probe has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What `value` counts.
    pub unit: Unit,
    /// The best rate, or the shortest time.
    pub value: f64,
    /// Seconds of the run it comes from.
    pub seconds: f64,
    /// Rounds of the probe's loop in it; 0 where there is no loop.
    pub rounds: u32,
    /// `device` or `host`.
    pub clock: String,
    /// Why the figure is not believed, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Whether it is doubted because it cannot be: faster than clock and width allow, or without
    /// doing the work. Other doubts are those of a noisy machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub impossible: bool,
}

/// All ceilings of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings(pub Vec<Ceiling>);

impl Ceilings {
    /// The best believable value of a name.
    pub fn best(&self, name: &str) -> Option<f64> {
        self.believed(name).map(|c| c.value).max_by(f64::total_cmp)
    }

    fn believed<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Ceiling> {
        self.0.iter().filter(move |c| c.name == name && c.doubt.is_none())
    }

    /// Bandwidth of `name` for a working set of `bytes`: the best among the sizes that are at least as
    /// large, or the largest size measured. A smaller one may fit a cache that the working set does
    /// not.
    pub fn bandwidth(&self, name: &str, bytes: u64) -> Option<f64> {
        let largest = self.believed(name).filter_map(|c| c.bytes).max()?;
        let least = bytes.min(largest);
        let fits = self.believed(name).filter(|c| c.bytes.is_some_and(|b| b >= least));
        fits.map(|c| c.value).max_by(f64::total_cmp)
    }

    /// Whether no figure is impossible. One that a noisy machine spoiled only counts as no ceiling.
    pub fn passed(&self) -> bool {
        self.0.iter().all(|c| !c.impossible)
    }

    /// The shortest time of `name`, in seconds.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.believed(name).map(|c| c.value).min_by(f64::total_cmp)
    }
}

/// The name of a probe in tables and reports.
pub fn name(kind: ProbeKind) -> String {
    match kind {
        ProbeKind::Read { .. } => "read".to_owned(),
        ProbeKind::Copy { .. } => "copy".to_owned(),
        ProbeKind::Triad { .. } => "triad".to_owned(),
        ProbeKind::Fma(dtype) => format!("fma_{dtype}"),
        ProbeKind::DotInt8 => "dot_int8".to_owned(),
        ProbeKind::Matrix(dtype) => format!("matrix_{dtype}"),
        ProbeKind::WorkgroupMemory => "workgroup_memory".to_owned(),
        ProbeKind::SubgroupAdd => "subgroup_add".to_owned(),
        ProbeKind::Empty => "empty".to_owned(),
        _ => format!("{kind:?}").to_lowercase(),
    }
}

/// What the work of a probe counts.
pub fn unit(kind: ProbeKind) -> Unit {
    match kind {
        ProbeKind::Read { .. } | ProbeKind::Copy { .. } | ProbeKind::Triad { .. } | ProbeKind::WorkgroupMemory => {
            Unit::Bytes
        }
        ProbeKind::SubgroupAdd => Unit::Elements,
        ProbeKind::Empty => Unit::Seconds,
        _ => Unit::Operations,
    }
}

/// The size of a probe's arrays together.
pub fn bytes(kind: ProbeKind) -> Option<u64> {
    match kind {
        ProbeKind::Read { bytes } | ProbeKind::Copy { bytes } | ProbeKind::Triad { bytes } => Some(bytes),
        _ => None,
    }
}

/// The element types for which matrix units are asked.
pub const MATRIX_TYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::I8];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: u64, value: f64, doubt: bool) -> Ceiling {
        Ceiling {
            name: "read".into(),
            bytes: Some(bytes),
            unit: Unit::Bytes,
            value,
            seconds: 0.02,
            rounds: 1,
            clock: "device".into(),
            doubt: doubt.then(|| "no".into()),
            impossible: false,
        }
    }

    #[test]
    fn bandwidth_is_that_of_a_working_set_no_smaller() {
        let all = Ceilings(vec![read(1 << 10, 100.0, false), read(1 << 20, 50.0, false), read(1 << 30, 10.0, false)]);
        assert_eq!(all.bandwidth("read", 500), Some(100.0));
        assert_eq!(all.bandwidth("read", 2000), Some(50.0));
        assert_eq!(all.bandwidth("read", 1 << 25), Some(10.0));
        assert_eq!(all.bandwidth("read", 1 << 40), Some(10.0));
        assert_eq!(all.bandwidth("copy", 1), None);
    }

    #[test]
    fn what_is_not_believed_is_no_ceiling() {
        let all = Ceilings(vec![read(1 << 10, 1e9, true), read(1 << 20, 50.0, false)]);
        assert_eq!(all.best("read"), Some(50.0));
        assert_eq!(all.bandwidth("read", 1), Some(50.0));
    }
}
