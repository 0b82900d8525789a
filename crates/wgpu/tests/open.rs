//! Finding and opening devices, and what they say about themselves.

mod common;

use common::{devices, options};
use unisono_core::{Backend, DeviceKind, ErrorKind};
use unisono_wgpu::WgpuOptions;

#[test]
fn adapters_are_numbered_in_a_stable_order() {
    let (first, second) = (unisono_wgpu::adapters(), unisono_wgpu::adapters());
    assert_eq!(first, second);
    for (index, adapter) in first.iter().enumerate() {
        assert_eq!(adapter.id, format!("wgpu:{index}"));
        assert!(!adapter.name.is_empty() && !adapter.api.is_empty(), "{adapter:?}");
        assert_eq!(adapter.vendor == "software", adapter.kind == DeviceKind::Software, "{adapter:?}");
    }
}

#[test]
fn a_device_describes_itself() {
    for device in devices(&options()) {
        let info = device.info();
        let summary = unisono_wgpu::adapters().into_iter().find(|a| a.id == info.id).unwrap();
        assert_eq!((&summary.name, &summary.vendor, &summary.api), (&info.name, &info.vendor, &info.api));
        assert!(info.max_buffer_bytes > 1 << 20);
        assert!(info.limits["max-storage-buffer-binding-size"] > 1 << 20);
        assert_eq!(info.subgroup_sizes.is_some(), info.features.iter().any(|f| f == "subgroup"));
        assert!(!info.profile.is_empty());
        for key in ["wgpu", "naga", "bounds-checks", "software-adapter", "limits", "pipeline-cache"] {
            assert!(info.properties.contains_key(key), "{key}");
        }
        assert_eq!(info.properties["pipeline-cache"], "off", "the options turned it off");
    }
}

#[test]
fn a_device_is_opened_by_id_or_index() {
    for device in devices(&options()) {
        let index = device.info().id.trim_start_matches("wgpu:").to_owned();
        assert_eq!(unisono_wgpu::open(&index, &options()).unwrap().info().id, device.info().id);
    }
}

#[test]
fn an_unknown_device_is_an_error_that_lists_the_known_ones() {
    for name in ["wgpu:99", "", "radeon", "wgpu:", "wgpu:-1"] {
        let e = unisono_wgpu::open(name, &options()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DeviceNotFound);
        for adapter in unisono_wgpu::adapters() {
            assert!(e.to_string().contains(&adapter.id), "{e}");
        }
    }
}

#[test]
fn an_unknown_profile_is_an_error_that_lists_the_known_ones() {
    for device in devices(&options()) {
        let wrong = WgpuOptions { profile: Some("voodoo".to_owned()), ..options() };
        let e = unisono_wgpu::open(&device.info().id, &wrong).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert!(e.to_string().contains("voodoo") && e.to_string().contains("nvidia"), "{e}");
    }
}
