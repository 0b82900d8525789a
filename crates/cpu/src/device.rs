//! What the processor says about itself.

use unisono_core::{DeviceInfo, DeviceKind};

use crate::machine;
use crate::simd::Simd;

/// The processor's name, without opening a device.
pub fn cpu_name() -> String {
    brand().unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

/// Describes the processor for a backend with these settings.
pub(crate) fn describe(simd: Simd, threads: usize) -> DeviceInfo {
    let mut info = DeviceInfo::new("cpu", cpu_name(), DeviceKind::Cpu);
    info.vendor = "cpu".to_owned();
    info.driver = "unisono-cpu".to_owned();
    info.driver_version = env!("CARGO_PKG_VERSION").to_owned();
    info.api = "cpu".to_owned();
    info.profile = "cpu".to_owned();
    info.memory = memory();
    info.max_buffer_bytes = info.memory.unwrap_or(isize::MAX as u64);
    info.features = simd.features().iter().map(|&f| f.to_owned()).collect();
    info.features_asked.clone_from(&info.features);
    info.properties.insert("threads".to_owned(), threads.to_string());
    info.properties.insert("simd".to_owned(), simd.features().join("+"));
    info.properties.insert("architecture".to_owned(), std::env::consts::ARCH.to_owned());
    let stated = [("clock-hz", machine::clock_hz()), ("last-level-cache-bytes", machine::last_level_cache_bytes())];
    info.limits.extend(stated.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    info
}

/// The processor's name.
#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    const FIRST: u32 = 0x8000_0002;
    // SAFETY: every x86-64 processor has the instruction. (Newer compilers know.)
    #[allow(unused_unsafe)]
    let cpuid = |leaf| unsafe { std::arch::x86_64::__cpuid(leaf) };
    if cpuid(0x8000_0000).eax < FIRST + 2 {
        return None;
    }
    let bytes: Vec<u8> =
        (FIRST..FIRST + 3).map(cpuid).flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx]).flat_map(u32::to_le_bytes).collect();
    let name = String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// The processor's name.
#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"))?;
    line.split(':').nth(1).map(|v| v.trim().to_owned())
}

/// Bytes of main memory, where the system tells.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
