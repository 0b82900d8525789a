//! What benchmarks ask of a device beyond running programs: its own clock, and its ceilings.
//!
//! Both are optional. A device without a clock is timed by the host's, and a device without probes
//! has no ceilings to hold its kernels against; either way the results say so.

use std::time::Duration;

use crate::dtype::DType;

/// Whose clock measured a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Timestamps of the device: what its kernels took.
    Device,
    /// The host's clock, around submission and waiting.
    Host,
}

impl Clock {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Clock::Device => "device",
            Clock::Host => "host",
        }
    }
}

/// One thing whose largest rate a device can measure with a kernel made for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeKind {
    /// Sums an array of `bytes` bytes. Work: bytes read.
    Read {
        /// Size of the array.
        bytes: u64,
    },
    /// `b[i] = a[i]` over two arrays of `bytes / 2` bytes. Work: bytes read and written.
    Copy {
        /// Size of both arrays together.
        bytes: u64,
    },
    /// `c[i] = a[i] + s · b[i]` in f32 over three arrays of `bytes / 3` bytes (McCalpin's STREAM).
    /// Work: bytes read and written.
    Triad {
        /// Size of the three arrays together.
        bytes: u64,
    },
    /// Independent chains of multiply-adds in registers, in f32 or f16. Work: operations, two for
    /// each multiply-add.
    Fma(DType),
    /// Dot products of 8-bit integers summed in 32 bits. Work: operations, two for each product.
    DotInt8,
    /// Products of small matrices of this element type on matrix units. Work: operations.
    Matrix(DType),
    /// Reads of workgroup memory; of the first-level cache on a processor. Work: bytes.
    WorkgroupMemory,
    /// Sums over a subgroup; over a vector register on a processor. Work: elements summed.
    SubgroupAdd,
    /// Launches of a kernel that does nothing, within one submission. Work: launches.
    Empty,
}

/// A run of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeRun {
    /// What was done, in the unit of the [`ProbeKind`].
    pub work: f64,
    /// How long it took.
    pub time: Duration,
    /// Whose clock says so.
    pub clock: Clock,
}

impl ProbeRun {
    /// Work per second.
    pub fn rate(&self) -> f64 {
        self.work / self.time.as_secs_f64()
    }
}
