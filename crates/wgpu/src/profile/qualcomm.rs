//! Qualcomm Adreno: small tiles; few registers per invocation.

use super::{GENERIC, Profile};

/// Adreno.
pub(super) static QUALCOMM: Profile = Profile { name: "qualcomm", subgroups: false, large_tile_from: 128, ..GENERIC };
