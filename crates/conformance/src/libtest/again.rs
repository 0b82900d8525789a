//! The command that runs one test again. The program `unisono` knows no devices but its own, so a
//! failure in a test binary names the test and not a device.

use std::path::Path;

use crate::runner::quoted;

/// The command for the test of this name in the running binary.
pub(super) fn command(name: &str, ignored: bool) -> String {
    let program = std::env::args().next().unwrap_or_default();
    of(&program, std::env::var("CARGO_PKG_NAME").ok().as_deref(), name, ignored)
}

/// By cargo where cargo started the binary, which is then called `name-hash`; by its own path elsewhere.
fn of(program: &str, package: Option<&str>, name: &str, ignored: bool) -> String {
    let stem = Path::new(program).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let hexadecimal = |hash: &str| hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit());
    let target = stem.rsplit_once('-').filter(|(_, hash)| hexadecimal(hash));
    let start = match (package, target) {
        (Some(package), Some((test, _))) => format!("cargo test -p {package} --test {test} --"),
        _ => quoted(program),
    };
    let also = if ignored { " --include-ignored" } else { "" };
    format!("{start}{also} --exact {}", quoted(name))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn cargo_is_named_where_it_started_the_binary() {
        let built = "/x y/target/debug/deps/my-conformance-0123456789abcdef";
        let test = "gpu::add/a:k=1";
        assert_eq!(
            of(built, Some("my-backend"), test, false),
            "cargo test -p my-backend --test my-conformance -- --exact 'gpu::add/a:k=1'"
        );
        assert_eq!(of(built, None, test, false), format!("'{built}' --exact '{test}'"));
        assert_eq!(of("./suite", Some("my-backend"), "sub", true), "'./suite' --include-ignored --exact sub");
    }
}
