//! Devices by name.
//!
//! A name is an id (`cpu`, `wgpu:0`), a vendor (`nvidia`, `amd`, `intel`, `apple`, `qualcomm`,
//! `software`), an API (`vulkan`, `gl`, `metal`, `dx12`), a part of the adapter's name, or `auto`:
//! the fastest kind of hardware present.

use unisono_core::{Device, DeviceKind, Error, ErrorKind, Result};

/// What to say to a person whose machine has no adapter.
pub const NO_ADAPTER_HELP: &str = "No GPU adapter was found, so only the CPU is used. A GPU needs its vendor's Vulkan \
     (or Metal, or DirectX 12) driver. Without a GPU, Mesa's software driver runs the same kernels for testing: \
     `sudo apt-get install mesa-vulkan-drivers libvulkan1 libegl1 libgl1-mesa-dri` on Debian and Ubuntu, \
     `sudo dnf install mesa-vulkan-drivers vulkan-loader` on Fedora.";

/// A device that can be opened, known without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// The id that [`open`] takes: `cpu`, `wgpu:0`, …
    pub id: String,
    /// The name that hardware or driver report.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// `amd`, `intel`, `nvidia`, `apple`, `qualcomm`, `software`, `cpu` or `other`.
    pub vendor: String,
    /// `cpu`, `vulkan`, `gl`, `metal` or `dx12`.
    pub api: String,
    /// Driver name and version.
    pub driver: String,
}

/// Every device of this machine: the CPU first, then the adapters, best first.
pub fn devices() -> Vec<DeviceSummary> {
    let mut all = Vec::new();
    #[cfg(feature = "cpu")]
    all.push(DeviceSummary {
        id: "cpu".into(),
        name: unisono_cpu::cpu_name(),
        kind: DeviceKind::Cpu,
        vendor: "cpu".into(),
        api: "cpu".into(),
        driver: concat!("unisono-cpu ", env!("CARGO_PKG_VERSION")).into(),
    });
    #[cfg(feature = "wgpu")]
    all.extend(unisono_wgpu::adapters().into_iter().map(|a| DeviceSummary {
        id: a.id,
        name: a.name,
        kind: a.kind,
        vendor: a.vendor,
        api: a.api,
        driver: format!("{} {}", a.driver, a.driver_version).trim().to_owned(),
    }));
    all
}

impl DeviceSummary {
    fn answers_to(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        [&self.id, &self.vendor, &self.api].iter().any(|&s| s.to_lowercase() == name)
            || (!name.is_empty() && self.name.to_lowercase().contains(&name))
    }

    /// Opens it.
    pub fn open(&self) -> Result<Device> {
        open_id(&self.id)
    }
}

/// Opens the device with this id, without looking for others first.
pub fn open_id(id: &str) -> Result<Device> {
    #[cfg(feature = "cpu")]
    if id == "cpu" {
        return Ok(Device::new(unisono_cpu::CpuBackend::with_options(unisono_cpu::CpuOptions::default().with_env()?)?));
    }
    #[cfg(feature = "wgpu")]
    if id.starts_with("wgpu:") {
        return Ok(Device::new(unisono_wgpu::open(id, &unisono_wgpu::WgpuOptions::default())?));
    }
    Err(not_found(id, &[]))
}

/// The devices among `all` that answer to `name`, best first; an error that lists what there is
/// where none does.
pub fn matching(all: &[DeviceSummary], name: &str) -> Result<Vec<DeviceSummary>> {
    if name == "auto" {
        let rank = |d: &DeviceSummary| match d.kind {
            DeviceKind::DiscreteGpu => 0,
            DeviceKind::IntegratedGpu => 1,
            DeviceKind::Cpu => 2,
            _ => 3,
        };
        let best = all.iter().min_by_key(|d| rank(d)).cloned();
        return best.map(|d| vec![d]).ok_or_else(|| not_found(name, all));
    }
    // An exact id wins over parts of names.
    let exact: Vec<DeviceSummary> = all.iter().filter(|d| d.id == name).cloned().collect();
    let found = if exact.is_empty() { all.iter().filter(|d| d.answers_to(name)).cloned().collect() } else { exact };
    if found.is_empty() { Err(not_found(name, all)) } else { Ok(found) }
}

/// Opens the best device that answers to `name`; see [`DeviceSummary`] and the names above it.
///
/// ```
/// let device = unisono::open("auto")?;
/// println!("running on {}", device.info().name);
/// assert!(unisono::open("no such device").is_err());
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn open(name: &str) -> Result<Device> {
    // The CPU needs no look at adapters, which loads every graphics driver.
    if name == "cpu" && cfg!(feature = "cpu") {
        return open_id(name);
    }
    matching(&devices(), name)?[0].open()
}

fn not_found(name: &str, all: &[DeviceSummary]) -> Error {
    let known: Vec<String> = all.iter().map(|d| format!("{} ({}, {})", d.id, d.name, d.api)).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::new(ErrorKind::DeviceNotFound, format!("no device answers to \"{name}\"; there are: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, name: &str, kind: DeviceKind, vendor: &str, api: &str) -> DeviceSummary {
        DeviceSummary {
            id: id.into(),
            name: name.into(),
            kind,
            vendor: vendor.into(),
            api: api.into(),
            driver: String::new(),
        }
    }

    fn machine() -> Vec<DeviceSummary> {
        vec![
            device("cpu", "Zen", DeviceKind::Cpu, "cpu", "cpu"),
            device("wgpu:0", "GeForce", DeviceKind::DiscreteGpu, "nvidia", "vulkan"),
            device("wgpu:1", "llvmpipe", DeviceKind::Software, "software", "vulkan"),
            device("wgpu:2", "llvmpipe", DeviceKind::Software, "software", "gl"),
        ]
    }

    fn ids(name: &str) -> Vec<String> {
        matching(&machine(), name).unwrap().into_iter().map(|d| d.id).collect()
    }

    #[test]
    fn names_find_devices() {
        assert_eq!(ids("auto"), ["wgpu:0"]);
        assert_eq!(ids("cpu"), ["cpu"]);
        assert_eq!(ids("nvidia"), ["wgpu:0"]);
        assert_eq!(ids("software"), ["wgpu:1", "wgpu:2"]);
        assert_eq!(ids("gl"), ["wgpu:2"]);
        assert_eq!(ids("LLVM"), ["wgpu:1", "wgpu:2"]);
        assert_eq!(ids("wgpu:2"), ["wgpu:2"]);
    }

    #[test]
    fn auto_prefers_the_cpu_to_a_software_gpu() {
        let all: Vec<_> = machine().into_iter().filter(|d| d.kind != DeviceKind::DiscreteGpu).collect();
        assert_eq!(matching(&all, "auto").unwrap()[0].id, "cpu");
    }

    #[test]
    fn unknown_names_list_what_there_is() {
        for name in ["radeon", "", "wgpu:9"] {
            let e = matching(&machine(), name).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::DeviceNotFound);
            assert!(e.to_string().contains("wgpu:0 (GeForce, vulkan)"), "{e}");
        }
        assert_eq!(matching(&[], "auto").unwrap_err().kind(), ErrorKind::DeviceNotFound);
    }
}
