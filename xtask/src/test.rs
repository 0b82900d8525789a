//! `cargo xtask test`: everything a change has to pass before it is proposed.
//!
//! A test run that finds no adapter would prove nothing about the WGSL backend and still be green.
//! So the drivers come first: they are looked for, installed where that can be done unasked, and
//! their absence is an error unless somebody says otherwise by `UNISONO_ALLOW_NO_ADAPTER=1`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::adapters::Drivers;
use crate::args::Options;
use crate::host::{DEBIAN_PACKAGES, Distribution};
use crate::out;
use crate::run::{self, heading};

const ALLOW_NO_ADAPTER: &str = "UNISONO_ALLOW_NO_ADAPTER";

/// The APIs through which a device counts as an adapter of the WGSL backend.
const GPU_APIS: [&str; 4] = ["vulkan", "gl", "metal", "dx12"];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args, &["--no-install"], &["--device"])?;
    let devices: Vec<&str> = options.all("--device").collect();
    let allow_no_adapter = std::env::var(ALLOW_NO_ADAPTER).is_ok_and(|value| value == "1");

    heading("Graphics drivers");
    ensure_drivers(options.has("--no-install"), allow_no_adapter)?;

    heading("Tests");
    if run::answers("cargo", &["nextest", "--version"]) {
        run::run(&mut run::cargo(&["nextest", "run", "--workspace"])?)?;
        // nextest runs no documentation tests.
        run::run(&mut run::cargo(&["test", "--doc", "--workspace"])?)?;
    } else {
        run::run(&mut run::cargo(&["test", "--workspace"])?)?;
    }

    heading("Examples");
    for example in ["quickstart", "capture"] {
        run::run(&mut run::cargo(&["run", "--package", "unisono", "--example", example])?)?;
    }

    heading("Conformance, quick level");
    let cli = ["run", "--release", "--package", "unisono-cli", "--"];
    let listed = run::output(run::cargo(&cli)?.args(["devices", "--json"]))?;
    let apis = listed_apis(&listed)?;
    out::note(format_args!("devices by API: {}", apis.join(", ")));
    if !apis.iter().any(|api| GPU_APIS.contains(&api.as_str())) {
        if !allow_no_adapter {
            bail!(
                "drivers are installed, but `unisono devices` lists no adapter of the WGSL \
                 backend; {ALLOW_NO_ADAPTER}=1 tests the CPU alone"
            );
        }
        warn_no_adapter();
    }
    let mut check = run::cargo(&cli)?;
    check.args(["check", "--level", "quick", "--report", "target/report"]);
    for device in devices {
        check.args(["--device", device]);
    }
    run::run(&mut check)?;
    heading("All passed; the report is in target/report");
    Ok(())
}

/// Makes sure that a Vulkan driver is there, on systems where that is in question.
fn ensure_drivers(no_install: bool, allow_no_adapter: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        out::note(format_args!("the graphics drivers of the operating system are taken for granted here"));
        return Ok(());
    }
    let drivers = Drivers::find();
    if drivers.has_vulkan() {
        report(&drivers);
        return Ok(());
    }
    let missing = drivers.missing().join("\n  - ");
    let distribution = Distribution::detect();
    let install = distribution.install_command();
    out::note(format_args!("The WGSL backend is tested through Vulkan, and this machine lacks:\n  - {missing}"));

    if no_install || distribution != Distribution::Debian {
        if allow_no_adapter {
            warn_no_adapter();
            return Ok(());
        }
        let why = if no_install {
            "--no-install was given"
        } else {
            "only Debian's and Ubuntu's packages are installed unasked"
        };
        bail!(
            "no Vulkan driver, and {why}.\n\
             Install Mesa's software drivers, which need no graphics card:\n    {install}\n\
             or set {ALLOW_NO_ADAPTER}=1 to test on the CPU alone"
        );
    }

    out::note(format_args!(
        "Installing Mesa's software drivers for Vulkan and OpenGL ES, which need no graphics \
         card, from the distribution:\n  {}\n(--no-install refuses this.)",
        DEBIAN_PACKAGES.join(" ")
    ));
    match install_debian() {
        Ok(()) => {}
        Err(error) if allow_no_adapter => {
            out::note(format_args!("installing failed: {error:#}"));
            warn_no_adapter();
            return Ok(());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot install a Vulkan driver; do it by hand: {install}"));
        }
    }
    let drivers = Drivers::find();
    if !drivers.has_vulkan() {
        bail!("the packages are installed, but there still lacks:\n  - {}", drivers.missing().join("\n  - "));
    }
    report(&drivers);
    Ok(())
}

fn report(drivers: &Drivers) {
    for manifest in &drivers.vulkan {
        out::note(format_args!("Vulkan driver: {}", manifest.display()));
    }
    if !drivers.gl {
        out::note(format_args!("no OpenGL ES driver: the GL adapter is not tested"));
    }
}

fn install_debian() -> Result<()> {
    apt_get(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(DEBIAN_PACKAGES);
    apt_get(&install)
}

/// Runs `apt-get` as root, without questions.
pub(crate) fn apt_get(args: &[&str]) -> Result<()> {
    let mut words = vec!["DEBIAN_FRONTEND=noninteractive", "apt-get"];
    words.extend(args);
    let mut command: Command = run::as_root("env", &words)?;
    // Standard output is kept for results.
    command.stdout(std::io::stderr());
    run::run(&mut command)
}

fn warn_no_adapter() {
    out::note(format_args!(
        "\n\
         ****************************************************************************\n\
         *  NO GRAPHICS ADAPTER. Only the CPU backend is tested in this run;        *\n\
         *  it says nothing about the WGSL backend ({ALLOW_NO_ADAPTER}=1).  *\n\
         ****************************************************************************"
    ));
}

/// The values of all fields named `api` in the answer of `unisono devices --json`.
fn listed_apis(json: &str) -> Result<Vec<String>> {
    fn collect(value: &serde_json::Value, apis: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, apis)),
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    match field.as_str() {
                        Some(api) if name == "api" => apis.push(api.to_owned()),
                        _ => collect(field, apis),
                    }
                }
            }
            _ => {}
        }
    }
    let value = serde_json::from_str(json).context("`unisono devices --json` wrote no JSON")?;
    let mut apis = Vec::new();
    collect(&value, &mut apis);
    if apis.is_empty() {
        bail!("`unisono devices --json` lists no device, not even the CPU:\n{json}");
    }
    Ok(apis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_read_from_the_list_of_devices() {
        let json = r#"[{"id": "cpu", "api": "cpu"}, {"id": "wgpu:0", "api": "vulkan"}]"#;
        assert_eq!(listed_apis(json).unwrap(), ["cpu", "vulkan"]);
        let nested = r#"{"devices": [{"info": {"api": "gl"}}]}"#;
        assert_eq!(listed_apis(nested).unwrap(), ["gl"]);
    }

    #[test]
    fn an_empty_list_is_an_error() {
        assert!(listed_apis("[]").is_err());
        assert!(listed_apis("no devices").is_err());
    }
}
