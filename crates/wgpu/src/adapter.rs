//! Finding adapters: which there are, who made them, and in which order they are numbered.
//!
//! One instance serves the whole process, because loading the drivers is the slow part of opening
//! a device. GL is the exception: all devices of one GL instance share a context, which two threads
//! cannot use at once, so each device gets an instance of its own. Adapters are sorted (hardware
//! before software, native APIs before GL), so that `wgpu:0` is the best one and ids are stable from run
//! to run.

use unisono_core::{DeviceKind, Error, ErrorKind, Result};

#[cfg(not(target_family = "wasm"))]
use crate::instance::Native;
use crate::instance::descriptor;

/// What is known about an adapter without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// `wgpu:0`, `wgpu:1`, … in the order of preference.
    pub id: String,
    /// The name that hardware or driver report.
    pub name: String,
    /// `amd`, `intel`, `nvidia`, `apple`, `qualcomm`, `software` or `other`.
    pub vendor: String,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// PCI device id.
    pub device_id: u32,
    /// Where it is on the PCI bus, as `0000:01:00.0`; empty where the driver does not say.
    pub bus: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub api: String,
    /// Driver name.
    pub driver: String,
    /// Driver version as reported.
    pub driver_version: String,
}

/// Adapters that can run compute shaders, best first. Opens no device. Empty where no driver is
/// installed.
#[cfg(not(target_family = "wasm"))]
pub fn adapters() -> Vec<AdapterSummary> {
    pollster::block_on(adapters_async())
}

/// [`adapters`](fn@crate::adapters) for browsers, which cannot block.
pub async fn adapters_async() -> Vec<AdapterSummary> {
    enumerate().await.into_iter().map(|(_, summary)| summary).collect()
}

/// The adapter of an id (`wgpu:1`) or index (`1`).
pub(crate) async fn find(id_or_index: &str) -> Result<(wgpu::Adapter, AdapterSummary)> {
    let index = id_or_index.strip_prefix("wgpu:").unwrap_or(id_or_index);
    let id = format!("wgpu:{index}");
    let mut all = enumerate().await;
    match all.iter().position(|(_, summary)| summary.id == id) {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let known: Vec<String> = all.iter().map(|(_, s)| format!("{} ({}, {})", s.id, s.name, s.api)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("no adapter answers to {id_or_index:?}; found: {known}");
            Err(Error::new(ErrorKind::DeviceNotFound, message))
        }
    }
}

async fn enumerate() -> Vec<(wgpu::Adapter, AdapterSummary)> {
    let mut found: Vec<(wgpu::Adapter, wgpu::AdapterInfo)> = Vec::new();
    for adapter in candidates().await {
        let info = adapter.get_info();
        let computes = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
        if computes && !found.iter().any(|(_, other)| same_adapter(other, &info)) {
            found.push((adapter, info));
        }
    }
    found.sort_by_key(|(_, info)| preference(info));
    found
        .into_iter()
        .enumerate()
        .map(|(index, (adapter, info))| {
            let summary = summarize(index, &info);
            (adapter, summary)
        })
        .collect()
}

#[cfg(not(target_family = "wasm"))]
async fn candidates() -> Vec<wgpu::Adapter> {
    use std::sync::{Mutex, OnceLock, PoisonError};
    static NATIVE: OnceLock<Native> = OnceLock::new();
    // Drivers are not reliably safe to enumerate from several threads at once.
    static ENUMERATING: Mutex<()> = Mutex::new(());
    let _guard = ENUMERATING.lock().unwrap_or_else(PoisonError::into_inner);
    let enumerate = || {
        let gl = wgpu::Instance::new(descriptor(wgpu::Backends::GL));
        let mut adapters = NATIVE.get_or_init(Native::new).adapters();
        adapters.extend(pollster::block_on(gl.enumerate_adapters(wgpu::Backends::GL)));
        adapters
    };
    // EGL keeps data with each thread that calls it and frees it when the thread ends. A caller's
    // thread may end while the process does, and both would free it (seen with Mesa 22.3); this
    // thread is gone before.
    match std::thread::Builder::new().name("unisono-adapters".to_owned()).spawn(enumerate) {
        Ok(thread) => thread.join().unwrap_or_default(),
        Err(_) => enumerate(),
    }
}

#[cfg(target_family = "wasm")]
async fn candidates() -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    wgpu::Instance::new(descriptor(wgpu::Backends::BROWSER_WEBGPU))
        .request_adapter(&options)
        .await
        .into_iter()
        .collect()
}

fn same_adapter(a: &wgpu::AdapterInfo, b: &wgpu::AdapterInfo) -> bool {
    let key = |i: &wgpu::AdapterInfo| (i.backend, i.vendor, i.device, i.device_type);
    let names = |i: &wgpu::AdapterInfo| [i.device_pci_bus_id.clone(), i.name.clone(), i.driver.clone()];
    // Two cards of one model differ in the bus id; without one they cannot be told from a driver
    // that is listed twice, which happens on software adapters.
    key(a) == key(b) && names(a) == names(b) && (!a.device_pci_bus_id.is_empty() || is_software(a))
}

fn preference(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match kind_of(info) {
        DeviceKind::DiscreteGpu => 0,
        DeviceKind::IntegratedGpu => 1,
        DeviceKind::Software => 3,
        _ => 2,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}

fn summarize(index: usize, info: &wgpu::AdapterInfo) -> AdapterSummary {
    AdapterSummary {
        id: format!("wgpu:{index}"),
        name: info.name.clone(),
        vendor: vendor_of(info).to_owned(),
        vendor_id: info.vendor,
        device_id: info.device,
        bus: info.device_pci_bus_id.to_lowercase(),
        kind: kind_of(info),
        api: info.backend.to_str().to_owned(),
        driver: info.driver.clone(),
        driver_version: info.driver_info.clone(),
    }
}

/// The maker by PCI id, or `software` for an API implemented on the processor.
fn vendor_of(info: &wgpu::AdapterInfo) -> &'static str {
    if is_software(info) {
        return "software";
    }
    match info.vendor {
        0x1002 | 0x1022 => "amd",
        0x8086 | 0x8087 => "intel",
        0x10de => "nvidia",
        0x106b => "apple",
        0x5143 | 0x4d4f_4351 => "qualcomm",
        _ => "other",
    }
}

fn kind_of(info: &wgpu::AdapterInfo) -> DeviceKind {
    if is_software(info) {
        return DeviceKind::Software;
    }
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        _ => DeviceKind::Other,
    }
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu
        || ["llvmpipe", "softpipe", "lavapipe", "swiftshader", "microsoft basic render"]
            .iter()
            .any(|known| name.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, vendor: u32, device_type: wgpu::DeviceType, backend: wgpu::Backend) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(device_type, backend);
        info.name = name.to_owned();
        info.vendor = vendor;
        info
    }

    #[test]
    fn vendors_are_told_by_pci_id_and_software_by_type_or_name() {
        use wgpu::{Backend, DeviceType};
        let vendor = |id, name, kind| vendor_of(&info(name, id, kind, Backend::Vulkan));
        assert_eq!(vendor(0x1002, "Radeon RX 7900 XTX", DeviceType::DiscreteGpu), "amd");
        assert_eq!(vendor(0x8086, "Arc B580", DeviceType::DiscreteGpu), "intel");
        assert_eq!(vendor(0x10de, "GeForce RTX 3090", DeviceType::DiscreteGpu), "nvidia");
        assert_eq!(vendor(0x106b, "Apple M2", DeviceType::IntegratedGpu), "apple");
        assert_eq!(vendor(0x5143, "Adreno 740", DeviceType::IntegratedGpu), "qualcomm");
        assert_eq!(vendor(0x13b5, "Mali-G710", DeviceType::IntegratedGpu), "other");
        assert_eq!(vendor(0x10005, "llvmpipe (LLVM 19)", DeviceType::Cpu), "software");
        assert_eq!(vendor(0x1ae0, "SwiftShader Device", DeviceType::Other), "software");
    }

    #[test]
    fn hardware_comes_first_and_gl_last() {
        use wgpu::{Backend, DeviceType};
        let rank = |kind, backend| preference(&info("", 0x1002, kind, backend));
        let order = [
            rank(DeviceType::DiscreteGpu, Backend::Vulkan),
            rank(DeviceType::DiscreteGpu, Backend::Gl),
            rank(DeviceType::IntegratedGpu, Backend::Vulkan),
            rank(DeviceType::Other, Backend::Vulkan),
            rank(DeviceType::Cpu, Backend::Vulkan),
            rank(DeviceType::Cpu, Backend::Gl),
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }

    #[test]
    fn two_cards_of_one_model_are_two_adapters() {
        let mut a = info("Card", 0x10de, wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        let mut b = a.clone();
        assert!(!same_adapter(&a, &b));
        a.device_pci_bus_id = "0000:01:00.0".to_owned();
        b.device_pci_bus_id = "0000:02:00.0".to_owned();
        assert!(!same_adapter(&a, &b));
        b.device_pci_bus_id.clone_from(&a.device_pci_bus_id);
        assert!(same_adapter(&a, &b));
    }
}
