//! The roofline (Williams, Waterman & Patterson 2009): how much of what the device can do a kernel
//! reaches, and which ceiling stops it.
//!
//! An operation takes at least the time that its bytes need at the measured bandwidth, the time that
//! its arithmetic needs at the measured peak, and the time of a launch. The largest of the three
//! binds; its share in the measured time is how close the kernel is.

use serde::{Deserialize, Serialize};
use unisono_core::{Clock, DType, DeviceInfo, NumericMode, OpDesc};

use crate::ceilings::Ceilings;

/// What stops a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The bandwidth of memory, or of the cache that holds the operands.
    Memory,
    /// The peak of the arithmetic units.
    Compute,
    /// A launch (or, by the host's clock, a submission).
    Launch,
}

impl Bound {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Memory => "memory",
            Bound::Compute => "compute",
            Bound::Launch => "launch",
        }
    }
}

/// The least times of an operation on a device, in seconds; `None` where no ceiling was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roof {
    /// Bytes over bandwidth.
    pub memory: Option<f64>,
    /// Operations over peak.
    pub compute: Option<f64>,
    /// One launch.
    pub launch: Option<f64>,
}

/// The names of the ceilings of arithmetic that may serve `desc` on the device.
///
/// Arithmetic is in f32 unless all operands are narrower or the device declares a mode; then its
/// narrow units count too.
pub fn units(desc: &OpDesc, info: &DeviceInfo) -> Vec<String> {
    let mut names = vec!["fma_f32".to_owned(), "matrix_f32".to_owned()];
    let mut floats = desc.inputs.iter().filter(|d| d.dtype.is_float()).map(|d| d.dtype);
    if let Some(first) = floats.next()
        && first != DType::F32
        && floats.all(|d| d == first)
        && desc.inputs.iter().all(|d| !d.dtype.is_block())
    {
        names.extend([format!("fma_{first}"), format!("matrix_{first}")]);
    }
    let blocks = desc.inputs.iter().any(|d| d.dtype.is_block());
    if blocks && info.numeric_modes.contains(&NumericMode::Int8Activations) {
        names.extend(["dot_int8".to_owned(), "matrix_i8".to_owned()]);
    }
    names
}

impl Roof {
    /// Of `desc`, whose working set (with the copies it rotates over) is `working_set` bytes.
    pub fn of(desc: &OpDesc, working_set: u64, clock: Clock, info: &DeviceInfo, ceilings: &Ceilings) -> Roof {
        let written: u64 = desc.outputs.iter().map(unisono_core::TensorDesc::span_bytes).sum();
        // Mostly read, or read and written.
        let kinds: &[&str] = if written * 10 < desc.bytes() { &["read"] } else { &["copy", "triad"] };
        let bandwidth = kinds.iter().filter_map(|k| ceilings.bandwidth(k, working_set)).max_by(f64::total_cmp);
        let peak = units(desc, info).iter().filter_map(|name| ceilings.best(name)).max_by(f64::total_cmp);
        let launch = match clock {
            Clock::Device => ceilings.seconds("empty"),
            Clock::Host => ceilings.seconds("submit"),
        };
        Roof {
            memory: bandwidth.map(|b| desc.bytes() as f64 / b),
            compute: peak.map(|p| desc.flops() as f64 / p),
            launch,
        }
    }

    /// Which ceiling binds, and its share in a run of `seconds`.
    pub fn share(&self, seconds: f64) -> Option<(Bound, f64)> {
        let all = [(Bound::Memory, self.memory), (Bound::Compute, self.compute), (Bound::Launch, self.launch)];
        // Launches alone are no roof.
        self.memory.or(self.compute)?;
        let (bound, least) = all.into_iter().filter_map(|(b, t)| Some((b, t?))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (seconds > 0.0).then(|| (bound, least / seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceilings::{Ceiling, Unit};
    use unisono_core::{DeviceKind, Op, TensorDesc};

    fn ceilings() -> Ceilings {
        let one = |name: &str, bytes, unit, value| Ceiling {
            name: name.into(),
            bytes,
            unit,
            value,
            seconds: 0.02,
            rounds: 1,
            clock: "device".into(),
            doubt: None,
            impossible: false,
        };
        Ceilings(vec![
            one("read", Some(1 << 28), Unit::Bytes, 20e9),
            one("read", Some(1 << 18), Unit::Bytes, 200e9),
            one("copy", Some(1 << 28), Unit::Bytes, 16e9),
            one("fma_f32", None, Unit::Operations, 200e9),
            one("fma_f16", None, Unit::Operations, 400e9),
            one("empty", None, Unit::Seconds, 2e-6),
            one("submit", None, Unit::Seconds, 9e-6),
        ])
    }

    fn product(m: usize, dtype: DType) -> OpDesc {
        let a = TensorDesc::contiguous(if dtype == DType::F16 { dtype } else { DType::F32 }, &[m, 1024]).unwrap();
        let b = TensorDesc::contiguous(dtype, &[1024, 1024]).unwrap().transposed(0, 1).unwrap();
        let y = TensorDesc::contiguous(DType::F32, &[m, 1024]).unwrap();
        OpDesc::new(Op::MatMul, vec![a, b], vec![y]).unwrap()
    }

    fn info() -> DeviceInfo {
        DeviceInfo::new("x", "x", DeviceKind::Other)
    }

    #[test]
    fn a_vector_is_bound_by_memory_and_a_matrix_by_arithmetic() {
        let one = product(1, DType::F32);
        let roof = Roof::of(&one, 1 << 28, Clock::Device, &info(), &ceilings());
        let bytes = (1024 * 1024 + 2048) as f64 * 4.0;
        assert_eq!(roof.memory, Some(bytes / 20e9));
        let (bound, share) = roof.share(2.0 * bytes / 20e9).unwrap();
        assert_eq!((bound, share), (Bound::Memory, 0.5));
        let many = product(512, DType::F32);
        let roof = Roof::of(&many, 8 << 20, Clock::Device, &info(), &ceilings());
        assert_eq!(roof.compute, Some(2.0 * 512.0 * 1024.0 * 1024.0 / 200e9));
        assert_eq!(roof.share(roof.compute.unwrap()).unwrap(), (Bound::Compute, 1.0));
    }

    #[test]
    fn a_small_working_set_has_the_roof_of_its_cache() {
        let one = product(1, DType::F32);
        let near = Roof::of(&one, 1 << 17, Clock::Device, &info(), &ceilings());
        let far = Roof::of(&one, 1 << 28, Clock::Device, &info(), &ceilings());
        assert_eq!(far.memory.unwrap() / near.memory.unwrap(), 10.0);
    }

    #[test]
    fn tiny_operations_are_bound_by_their_launch() {
        let tiny = TensorDesc::contiguous(DType::F32, &[16]).unwrap();
        let desc = OpDesc::new(Op::Copy, vec![tiny], vec![tiny]).unwrap();
        let by = |clock| Roof::of(&desc, 128, clock, &info(), &ceilings()).share(18e-6).unwrap();
        assert_eq!(by(Clock::Host), (Bound::Launch, 0.5));
        assert_eq!(by(Clock::Device).0, Bound::Launch);
        assert!(Roof::default().share(1.0).is_none());
    }

    #[test]
    fn narrow_units_count_only_where_the_contract_lets_them() {
        assert!(!units(&product(8, DType::Q4_0), &info()).contains(&"dot_int8".to_owned()));
        let mut declared = info();
        declared.numeric_modes.push(NumericMode::Int8Activations);
        assert!(units(&product(8, DType::Q4_0), &declared).contains(&"dot_int8".to_owned()));
        let half = Roof::of(&product(512, DType::F16), 1 << 20, Clock::Device, &info(), &ceilings());
        assert_eq!(half.compute, Some(2.0 * 512.0 * 1024.0 * 1024.0 / 400e9));
        assert!(!units(&product(8, DType::F32), &info()).contains(&"fma_f16".to_owned()));
    }
}
