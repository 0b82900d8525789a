//! What drivers print at every start and on every machine of a kind, whatever happens: no part of the
//! reason why a worker ended, and often worded like one.

/// Beginnings and parts of such lines.
const KNOWN: [&str; 5] = [
    // Mesa's EGL on a server, in a container or over ssh, printed as an error.
    "XDG_RUNTIME_DIR is invalid or not set",
    "XDG_RUNTIME_DIR not set in the environment",
    "libEGL warning:",
    "is not a conformant vulkan implementation",
    "MESA-INTEL: warning: Performance support disabled",
];

/// Whether a line of standard error says nothing about what went wrong.
pub(super) fn is_chatter(line: &str) -> bool {
    KNOWN.iter().any(|known| line.contains(known))
}

#[cfg(test)]
mod tests {
    use super::is_chatter;

    #[test]
    fn chatter_is_told_from_reasons() {
        for line in [
            "error: XDG_RUNTIME_DIR is invalid or not set in the environment.",
            "libEGL warning: DRI2: failed to authenticate",
            "WARNING: lavapipe is not a conformant vulkan implementation, testing use only.",
        ] {
            assert!(is_chatter(line), "{line}");
        }
        for line in ["LLVM ERROR: out of memory", "error: device lost", "Segmentation fault", ""] {
            assert!(!is_chatter(line), "{line}");
        }
    }
}
