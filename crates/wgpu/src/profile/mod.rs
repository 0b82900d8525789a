//! Tuning profiles: what is known about each vendor's hardware, as data.
//!
//! This folder is the only place that knows vendors. Every profile is correct on every device that
//! meets the requirements of the kernels; it only decides which of them comes first and how large
//! its pieces are. Starting figures follow those of established WebGPU and Vulkan inference
//! engines.

mod amd;
mod apple;
mod intel;
mod nvidia;
mod qualcomm;
mod software;

/// How a device's time is best spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The name in reports and in `UNISONO_PROFILE`.
    pub(crate) name: &'static str,
    /// Whether reductions use subgroup operations where the device has them.
    pub(crate) subgroups: bool,
    /// Matrix products without workgroup memory first, and elements passed between the invocations of
    /// a subgroup: a processor has caches, while loads by invocation and barriers cost.
    pub(crate) direct_matmul: bool,
    /// Whether inner loops have constant bounds, which drivers unroll; slow to compile.
    pub(crate) unroll: bool,
    /// With `m` and `n` both at least this, the large matrix tile.
    pub(crate) large_tile_from: usize,
    /// Up to this `m`, matrix × vector kernels (at most 8).
    pub(crate) matvec_rows: usize,
    /// Invocations that share one output of a matrix × vector product; a power of two up to 64.
    pub(crate) matvec_lanes: u32,
    /// Invocations of a workgroup that takes a short row: 8 or 256.
    pub(crate) row_lanes: u32,
    /// Rows of at least this many elements are reduced in parts, by several workgroups each.
    pub(crate) reduce_split_from: usize,
    /// Rows are split while they give fewer workgroups than this.
    pub(crate) reduce_workgroups: usize,
    /// Keys of one part when attention over few queries is split over workgroups.
    pub(crate) attention_split_keys: usize,
    /// Attention is split while it gives fewer workgroups than this.
    pub(crate) attention_workgroups: usize,
}

/// For hardware that no other profile knows.
pub(crate) static GENERIC: Profile = Profile {
    name: "generic",
    subgroups: true,
    direct_matmul: false,
    unroll: true,
    large_tile_from: 48,
    matvec_rows: 8,
    matvec_lanes: 32,
    row_lanes: 256,
    reduce_split_from: 16384,
    reduce_workgroups: 64,
    attention_split_keys: 256,
    attention_workgroups: 64,
};

impl Profile {
    /// Every profile.
    pub(crate) const ALL: [&'static Profile; 9] = [
        &amd::RDNA,
        &amd::GCN,
        &intel::XE1,
        &intel::XE2,
        &nvidia::NVIDIA,
        &apple::APPLE,
        &qualcomm::QUALCOMM,
        &software::SOFTWARE,
        &GENERIC,
    ];

    /// The profile with this name; a vendor's name alone means its usual one.
    pub(crate) fn by_name(name: &str) -> Option<&'static Profile> {
        let name = match name {
            "amd" => "amd-rdna",
            "intel" => "intel-xe1",
            other => other,
        };
        Profile::ALL.into_iter().find(|p| p.name == name)
    }

    /// Rounds that the loops of an invocation may make together before the driver ends them without a
    /// word: Mesa's software drivers stop at 65,535 (some are kept in reserve). Known of the driver
    /// and not tuned, so a forced profile does not change it.
    pub(crate) fn loop_rounds(software: bool) -> u64 {
        if software { 64_000 } else { u64::from(u32::MAX) }
    }

    /// The profile for a device, from its PCI (or Khronos) vendor id, whether it is a software
    /// implementation, and its smallest and largest subgroup size.
    pub(crate) fn for_device(vendor: u32, software: bool, subgroups: Option<(u32, u32)>) -> &'static Profile {
        if software {
            return &software::SOFTWARE;
        }
        match vendor {
            0x1002 | 0x1022 if subgroups.is_some_and(|(min, _)| min >= 64) => &amd::GCN,
            0x1002 | 0x1022 => &amd::RDNA,
            0x8086 if subgroups.is_some_and(|(min, _)| min >= 16) => &intel::XE2,
            0x8086 => &intel::XE1,
            0x10de => &nvidia::NVIDIA,
            0x106b => &apple::APPLE,
            0x5143 => &qualcomm::QUALCOMM,
            0x10005 => &software::SOFTWARE,
            _ => &GENERIC,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for p in Profile::ALL {
            assert_eq!(Profile::by_name(p.name), Some(p));
            assert_eq!(Profile::ALL.iter().filter(|q| q.name == p.name).count(), 1, "{}", p.name);
            assert!(p.matvec_lanes.is_power_of_two() && p.matvec_lanes <= 64, "{}", p.name);
            assert!(p.matvec_rows <= 8, "{}", p.name);
            assert!([8, 256].contains(&p.row_lanes), "{}", p.name);
        }
        assert_eq!(Profile::by_name("amd").map(|p| p.name), Some("amd-rdna"));
        assert_eq!(Profile::by_name("no such"), None);
    }

    #[test]
    fn generations_are_told_apart_by_subgroup_size() {
        let of = |vendor, range| Profile::for_device(vendor, false, Some(range)).name;
        assert_eq!(of(0x1002, (64, 64)), "amd-gcn");
        assert_eq!(of(0x1002, (32, 64)), "amd-rdna");
        assert_eq!(of(0x8086, (8, 32)), "intel-xe1");
        assert_eq!(of(0x8086, (16, 32)), "intel-xe2");
        assert_eq!(of(0x10de, (32, 32)), "nvidia");
        assert_eq!(Profile::for_device(0x10de, true, None).name, "software");
        assert_eq!(Profile::for_device(0x1234, false, None).name, "generic");
    }
}
