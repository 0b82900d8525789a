//! How a device is opened: the options of the API, and the environment variables that override
//! them. The environment is read here and nowhere else, so that a bug report can list it.

use std::collections::BTreeMap;

/// Shader texts that take the place of those of [`unisono_shaders`]: how a fault is planted into a
/// device, to see that whoever checks the device finds it. The device runs them with every check
/// that naga can add, keeps no compiled pipeline on disk and says `planted-fault` in its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplacedShaders {
    /// The name of the fault.
    pub name: String,
    /// The file that describes it, where there is one: `planted-fault-file` in the properties.
    pub file: Option<String>,
    /// Whole WGSL texts by the name of the [variant](unisono_shaders::Variant) that each replaces.
    pub texts: BTreeMap<String, String>,
}

/// How to open a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WgpuOptions {
    /// Forces a vendor profile (`amd`, `intel`, …) instead of the one of the adapter.
    pub profile: Option<String>,
    /// Leaves bounds checks out of kernels. Faster; reported in the device's properties.
    pub trusted: bool,
    /// Fills fresh and recycled memory with a NaN pattern, to find reads of undefined content.
    pub poison: bool,
    /// Uses the limits that every WebGPU implementation has, and no optional feature.
    pub default_limits: bool,
    /// Keeps compiled pipelines on disk where the driver allows it.
    pub disk_cache: bool,
    /// Asks for matrix units where the adapter has them, which wgpu calls experimental. No kernel uses
    /// them; the probes of ceilings open a device of their own with them.
    pub matrix_units: bool,
    /// Shader texts in place of the crate's own.
    pub replaced: Option<ReplacedShaders>,
}

impl Default for WgpuOptions {
    fn default() -> WgpuOptions {
        WgpuOptions {
            profile: None,
            trusted: false,
            poison: false,
            default_limits: false,
            disk_cache: true,
            matrix_units: false,
            replaced: None,
        }
    }
}

impl WgpuOptions {
    /// These options with the environment applied: `UNISONO_PROFILE=<vendor>`,
    /// `UNISONO_LIMITS=default`, `UNISONO_POISON=1` and `UNISONO_CACHE=off`.
    #[must_use]
    pub fn with_env(self) -> WgpuOptions {
        self.with_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> WgpuOptions {
        if let Some(profile) = variable("UNISONO_PROFILE") {
            self.profile = Some(profile.to_lowercase());
        }
        self.default_limits |= variable("UNISONO_LIMITS").is_some_and(|v| v == "default");
        self.poison |= variable("UNISONO_POISON").is_some_and(|v| v != "0");
        self.disk_cache &= variable("UNISONO_CACHE").is_none_or(|v| v != "off" && v != "0");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::WgpuOptions;

    #[test]
    fn the_environment_overrides_options() {
        let variables = |name: &str| match name {
            "UNISONO_PROFILE" => Some("AMD".to_owned()),
            "UNISONO_LIMITS" => Some("default".to_owned()),
            "UNISONO_POISON" => Some("1".to_owned()),
            "UNISONO_CACHE" => Some("off".to_owned()),
            _ => None,
        };
        let options = WgpuOptions::default().with_variables(variables);
        let expected = WgpuOptions {
            profile: Some("amd".to_owned()),
            trusted: false,
            poison: true,
            default_limits: true,
            disk_cache: false,
            matrix_units: false,
            replaced: None,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn an_empty_environment_changes_nothing() {
        let options = WgpuOptions { poison: true, disk_cache: false, ..WgpuOptions::default() };
        assert_eq!(options.clone().with_variables(|_| None), options);
    }
}
