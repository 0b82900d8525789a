//! Apple: subgroups of 32, memory shared with the host.

use super::{GENERIC, Profile};

/// Apple silicon.
pub(super) static APPLE: Profile = Profile { name: "apple", ..GENERIC };
