//! NVIDIA: subgroups of 32 and many multiprocessors to fill.

use super::{GENERIC, Profile};

/// Turing and later.
pub(super) static NVIDIA: Profile = Profile { name: "nvidia", attention_workgroups: 128, ..GENERIC };
