//! The instances of wgpu through which adapters are found.
//!
//! wgpu makes every Vulkan instance fit for drawing to windows. Mesa's layer that chooses among
//! Vulkan devices takes that as a reason to ask the Wayland display, whenever devices are listed,
//! which of them it draws with. Where there is no session (on a server, in a container, over ssh)
//! libwayland then writes "error: XDG_RUNTIME_DIR is invalid or not set in the environment." to
//! standard error, twice for each listing, and a reader takes the next result for a failed one.
//! Nothing here draws to windows, so where a Wayland display cannot be reached the instance is made
//! without that one extension. Everywhere else wgpu makes it as it likes: the layer's choice decides
//! in which order devices of one kind come.

use wgpu::{Backends, InstanceFlags};

/// The native APIs except GL, with what is needed to list their adapters.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug)]
pub(crate) struct Native {
    instance: wgpu::Instance,
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    vulkan: Option<headless::Vulkan>,
}

#[cfg(not(target_family = "wasm"))]
impl Native {
    pub(crate) fn new() -> Native {
        let backends = Backends::all() - Backends::GL;
        #[cfg(any(target_os = "linux", target_os = "freebsd"))]
        if let Some(vulkan) = headless::Vulkan::where_needed() {
            let instance = wgpu::Instance::new(descriptor(backends - Backends::VULKAN));
            return Native { instance, vulkan: Some(vulkan) };
        }
        Native {
            instance: wgpu::Instance::new(descriptor(backends)),
            #[cfg(any(target_os = "linux", target_os = "freebsd"))]
            vulkan: None,
        }
    }

    /// The adapters of all these APIs.
    pub(crate) fn adapters(&self) -> Vec<wgpu::Adapter> {
        #[cfg_attr(not(any(target_os = "linux", target_os = "freebsd")), expect(unused_mut))]
        let mut found = pollster::block_on(self.instance.enumerate_adapters(Backends::all()));
        #[cfg(any(target_os = "linux", target_os = "freebsd"))]
        found.extend(self.vulkan.iter().flat_map(|vulkan| vulkan.adapters(&self.instance)));
        found
    }
}

/// No validation layers and no indirect-dispatch validation (its pipelines would be built for
/// every device, and no dispatch here is indirect) unless wgpu's own variables ask for them.
pub(crate) fn descriptor(backends: Backends) -> wgpu::InstanceDescriptor {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = InstanceFlags::DISCARD_HAL_LABELS.with_env();
    descriptor
}

/// Vulkan without Wayland.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod headless {
    use std::env;
    use std::ffi::{CStr, OsStr};
    use std::path::Path;

    use wgpu::hal::{self, Instance as _, vulkan};

    const WAYLAND: &CStr = c"VK_KHR_wayland_surface";

    /// An instance of Vulkan that cannot draw to Wayland windows.
    #[derive(Debug)]
    pub(super) struct Vulkan(vulkan::Instance);

    impl Vulkan {
        /// The instance where no Wayland display can be reached. `None` where one can, where wgpu's own
        /// variables ask for checks that it makes while it lists adapters, and without Vulkan.
        pub(super) fn where_needed() -> Option<Vulkan> {
            let plain = super::descriptor(wgpu::Backends::VULKAN).flags == super::InstanceFlags::DISCARD_HAL_LABELS;
            let variable = |name: &str| env::var_os(name);
            (plain && !wayland_is_reachable(&variable)).then(Vulkan::new).flatten()
        }

        pub(super) fn new() -> Option<Vulkan> {
            let descriptor = super::descriptor(wgpu::Backends::VULKAN);
            let descriptor = hal::InstanceDescriptor {
                name: "wgpu",
                flags: descriptor.flags,
                memory_budget_thresholds: descriptor.memory_budget_thresholds,
                backend_options: descriptor.backend_options,
                telemetry: None,
                display: None,
            };
            let without_wayland = |arguments: vulkan::CreateInstanceCallbackArgs<'_, '_, '_>| {
                arguments.extensions.retain(|&name| name != WAYLAND);
            };
            // SAFETY: wgpu-hal asks that no extension be taken away, because it may call what an
            // extension brings. What this one brings makes a surface of a Wayland window; no surface
            // is made of this instance, and wgpu-hal refuses to where the extension is not among
            // those of the instance. No other extension rests on it.
            let instance =
                unsafe { vulkan::Instance::init_with_callback(&descriptor, Some(Box::new(without_wayland))) };
            instance.inspect_err(|e| log::debug!("no Vulkan: {e}")).ok().map(Vulkan)
        }

        /// The adapters, as those of `instance`, whose flags hold for them.
        pub(super) fn adapters(&self, instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
            // SAFETY: the instance is whole, and no surface is given.
            let found = unsafe { self.0.enumerate_adapters(None) };
            let adapters = found.into_iter().map(|adapter| {
                // SAFETY: wgpu asks that adapter and instance belong together, for the sake of
                // surfaces, of which there are none. The adapter itself keeps the Vulkan instance
                // that it is of; from the wgpu instance it takes flags alone, and with an instance made
                // of this Vulkan instance it would take those that build pipelines for every device.
                unsafe { instance.create_adapter_from_hal::<hal::api::Vulkan>(adapter) }
            });
            // What wgpu refuses where it lists adapters itself.
            let aligned = |limits: &wgpu::Limits| {
                limits.min_uniform_buffer_offset_alignment.is_power_of_two()
                    && limits.min_storage_buffer_offset_alignment.is_power_of_two()
            };
            adapters.filter(|adapter| aligned(&adapter.limits())).collect()
        }
    }

    /// Whether a library that connects to the default Wayland display has a socket to try. libwayland
    /// takes an open one from `WAYLAND_SOCKET`, or the one of the name `WAYLAND_DISPLAY`, which is in
    /// `XDG_RUNTIME_DIR` unless it is a whole path.
    pub(super) fn wayland_is_reachable(variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> bool {
        let absolute = |name: &str| variable(name).is_some_and(|value| is_absolute(&value));
        variable("WAYLAND_SOCKET").is_some() || absolute("WAYLAND_DISPLAY") || absolute("XDG_RUNTIME_DIR")
    }

    fn is_absolute(path: &OsStr) -> bool {
        Path::new(path).is_absolute()
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "freebsd")))]
mod tests {
    use super::*;

    #[test]
    fn a_wayland_display_is_reachable_where_libwayland_has_a_socket_to_try() {
        let reachable = |variables: &[(&str, &str)]| {
            headless::wayland_is_reachable(&|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
            })
        };
        assert!(!reachable(&[]));
        assert!(!reachable(&[("WAYLAND_DISPLAY", "wayland-1"), ("DISPLAY", ":0")]), "a name without a place");
        assert!(!reachable(&[("XDG_RUNTIME_DIR", "run/user"), ("WAYLAND_DISPLAY", "wayland-1")]));
        assert!(!reachable(&[("XDG_RUNTIME_DIR", "")]));
        assert!(reachable(&[("XDG_RUNTIME_DIR", "/run/user/1000")]));
        assert!(reachable(&[("WAYLAND_DISPLAY", "/run/user/1000/wayland-1")]));
        assert!(reachable(&[("WAYLAND_SOCKET", "5")]));
    }

    /// Without Wayland the same adapters are found, and can do the same.
    #[test]
    fn adapters_are_the_same_without_wayland() {
        let instance = wgpu::Instance::new(descriptor(Backends::VULKAN));
        let ordinary = pollster::block_on(instance.enumerate_adapters(Backends::VULKAN));
        let (bare, vulkan) = (wgpu::Instance::new(descriptor(Backends::empty())), headless::Vulkan::new());
        let headless: Vec<_> = vulkan.iter().flat_map(|vulkan| vulkan.adapters(&bare)).collect();
        drop(vulkan);
        let facts = |a: &wgpu::Adapter| {
            (a.get_info(), a.features(), a.limits(), format!("{:?}", a.get_downlevel_capabilities()))
        };
        assert_eq!(ordinary.iter().map(facts).collect::<Vec<_>>(), headless.iter().map(facts).collect::<Vec<_>>());
        for adapter in &headless {
            let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
            let opened = pollster::block_on(adapter.request_device(&descriptor));
            assert!(opened.is_ok(), "{opened:?}");
        }
    }
}
