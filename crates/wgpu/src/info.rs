//! The description of an open device, and the capabilities that selection works with.

use unisono_core::{DeviceInfo, Error, Result};

use crate::adapter::AdapterSummary;
use crate::caps::Caps;
use crate::device::Gpu;
use crate::options::WgpuOptions;
use crate::profile::Profile;

/// What selection may use on this device.
pub(crate) fn caps(gpu: &Gpu, adapter: &wgpu::AdapterInfo, software: bool, options: &WgpuOptions) -> Result<Caps> {
    let limits = &gpu.limits;
    let sizes = Some((adapter.subgroup_min_size, adapter.subgroup_max_size)).filter(|&(min, _)| min > 0);
    let profile = match &options.profile {
        None => Profile::for_device(adapter.vendor, software, sizes),
        Some(name) => Profile::by_name(name).ok_or_else(|| {
            let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name).collect();
            Error::invalid(format!("there is no profile {name:?}; known are {}", known.join(", ")))
        })?,
    };
    Ok(Caps {
        max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
        max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
        max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
        min_storage_buffer_offset_alignment: limits.min_storage_buffer_offset_alignment,
        f16: gpu.features.contains(wgpu::Features::SHADER_F16),
        subgroups: sizes.filter(|_| gpu.features.contains(wgpu::Features::SUBGROUP)),
        matrix_units: gpu.features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        loop_rounds: Profile::loop_rounds(software),
        software,
        profile,
    })
}

/// Everything that reports say about the device.
pub(crate) fn describe(
    gpu: &Gpu,
    adapter: &AdapterSummary,
    caps: &Caps,
    options: &WgpuOptions,
    disk_cache: bool,
) -> DeviceInfo {
    let mut info = DeviceInfo::new(&adapter.id, &adapter.name, adapter.kind);
    info.vendor.clone_from(&adapter.vendor);
    info.vendor_id = adapter.vendor_id;
    info.device_id = adapter.device_id;
    info.bus.clone_from(&adapter.bus);
    info.memory = gpu.memory;
    info.driver.clone_from(&adapter.driver);
    info.driver_version.clone_from(&adapter.driver_version);
    info.api.clone_from(&adapter.api);
    info.profile = caps.profile.name.to_owned();
    info.max_buffer_bytes = gpu.limits.max_buffer_size;
    info.subgroup_sizes = caps.subgroups;
    info.limits = limits(&gpu.limits).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    info.features = gpu.feature_names();
    info.features_asked = crate::device::wanted_features(options);
    let on_off = |on: bool| if on { "on" } else { "off" };
    let properties = [
        ("wgpu", crate::WGPU_VERSION),
        ("naga", crate::WGPU_VERSION),
        ("bounds-checks", on_off(!options.trusted)),
        ("poison", on_off(options.poison)),
        ("pipeline-cache", on_off(disk_cache)),
        ("limits", if options.default_limits { "default" } else { "adapter" }),
        ("profile", if options.profile.is_some() { "forced" } else { "detected" }),
        ("software-adapter", if adapter.kind == unisono_core::DeviceKind::Software { "yes" } else { "no" }),
    ];
    info.properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if let Some(replaced) = &options.replaced {
        info.properties.insert("planted-fault".to_owned(), replaced.name.clone());
        let file = replaced.file.as_ref().map(|file| ("planted-fault-file".to_owned(), file.clone()));
        info.properties.extend(file);
    }
    info
}

fn limits(limits: &wgpu::Limits) -> [(&'static str, u64); 16] {
    [
        ("max-buffer-size", limits.max_buffer_size),
        ("max-storage-buffer-binding-size", limits.max_storage_buffer_binding_size),
        ("max-uniform-buffer-binding-size", limits.max_uniform_buffer_binding_size),
        ("max-storage-buffers-per-shader-stage", limits.max_storage_buffers_per_shader_stage.into()),
        ("max-uniform-buffers-per-shader-stage", limits.max_uniform_buffers_per_shader_stage.into()),
        ("max-bind-groups", limits.max_bind_groups.into()),
        ("max-bindings-per-bind-group", limits.max_bindings_per_bind_group.into()),
        ("min-storage-buffer-offset-alignment", limits.min_storage_buffer_offset_alignment.into()),
        ("min-uniform-buffer-offset-alignment", limits.min_uniform_buffer_offset_alignment.into()),
        ("max-compute-workgroup-storage-size", limits.max_compute_workgroup_storage_size.into()),
        ("max-compute-invocations-per-workgroup", limits.max_compute_invocations_per_workgroup.into()),
        ("max-compute-workgroup-size-x", limits.max_compute_workgroup_size_x.into()),
        ("max-compute-workgroup-size-y", limits.max_compute_workgroup_size_y.into()),
        ("max-compute-workgroup-size-z", limits.max_compute_workgroup_size_z.into()),
        ("max-compute-workgroups-per-dimension", limits.max_compute_workgroups_per_dimension.into()),
        ("max-immediate-size", limits.max_immediate_size.into()),
    ]
}
