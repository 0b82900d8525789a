//! NVIDIA: subgroups of 32 and many multiprocessors to fill.

use super::{GENERIC, Profile};

/// Turing and later.
pub(super) static NVIDIA: Profile =
    Profile { name: "nvidia", reduce_workgroups: 128, attention_workgroups: 128, ..GENERIC };
