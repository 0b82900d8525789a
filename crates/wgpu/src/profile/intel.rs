//! Intel: the compiler picks the subgroup size, which makes subgroup reductions slow on the first Xe.

use super::{GENERIC, Profile};

/// Xe and older: subgroups from 8.
pub(super) static XE1: Profile = Profile { name: "intel-xe1", subgroups: false, matvec_lanes: 16, ..GENERIC };

/// Xe2: subgroups from 16.
pub(super) static XE2: Profile = Profile { name: "intel-xe2", matvec_lanes: 16, ..GENERIC };
