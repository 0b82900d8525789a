//! AMD: RDNA runs subgroups of 32 or 64, GCN of 64 only.

use super::{GENERIC, Profile};

/// RDNA and later.
pub(super) static RDNA: Profile = Profile { name: "amd-rdna", large_tile_from: 64, ..GENERIC };

/// GCN: wide subgroups, several outputs need to be in flight.
pub(super) static GCN: Profile = Profile { name: "amd-gcn", large_tile_from: 64, matvec_lanes: 64, ..GENERIC };
