//! Graphics APIs that run on the processor. A workgroup runs on one core, so more invocations than a
//! vector has lanes only cost; barriers cost; a load takes as long as dozens of arithmetic
//! instructions, because each invocation loads on its own; caches are large; few workgroups suffice.

use super::{GENERIC, Profile};

/// lavapipe, SwiftShader and their like.
pub(super) static SOFTWARE: Profile = Profile {
    name: "software",
    subgroups: false,
    direct_matmul: true,
    unroll: false,
    matvec_lanes: 8,
    row_lanes: 8,
    reduce_workgroups: 4,
    attention_split_keys: 1024,
    attention_workgroups: 2,
    ..GENERIC
};
