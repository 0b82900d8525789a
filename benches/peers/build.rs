//! Compiles ggml's CPU backend for the feature `ggml`.
//!
//! The sources are those that the crate llama-cpp-sys-2 carries, in the version that `Cargo.toml`
//! pins; `cargo fetch` unpacks them, or `GGML_SOURCE` names another folder `ggml`. CMake is called
//! by itself: it is the build system that ggml maintains.

use std::path::PathBuf;
use std::process::{Command, exit};

const PACKAGE: &str = "llama-cpp-sys-2-0.1.161";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=GGML_SOURCE");
    if std::env::var_os("CARGO_FEATURE_GGML").is_none() {
        return;
    }
    if let Err(message) = ggml() {
        println!("cargo::error={message}");
        exit(1);
    }
}

fn ggml() -> Result<(), String> {
    let source = source()?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let (project, build) = (out.join("project"), out.join("build"));
    // As a part of another project: the package leaves out files that ggml alone would install.
    let text = format!(
        "cmake_minimum_required(VERSION 3.14)\nproject(peers C CXX)\nadd_subdirectory(\"{}\" ggml)\n",
        source.display()
    );
    std::fs::create_dir_all(&project)
        .and_then(|()| std::fs::write(project.join("CMakeLists.txt"), text))
        .map_err(|e| format!("cannot write to {}: {e}", project.display()))?;
    let jobs = std::env::var("NUM_JOBS").unwrap_or_else(|_| "1".into());
    // As fast as llama.cpp builds it: for this processor, with its own small products. One pool of
    // threads, the backend's; OpenMP would be a second.
    let options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_SHARED_LIBS=OFF",
        "-DGGML_NATIVE=ON",
        "-DGGML_LLAMAFILE=ON",
        "-DGGML_OPENMP=OFF",
    ];
    run(Command::new("cmake").arg("-S").arg(&project).arg("-B").arg(&build).args(options))?;
    run(Command::new("cmake").arg("--build").arg(&build).args(["--config", "Release", "-j", &jobs]))?;
    for folder in ["ggml/src", "ggml/src/ggml-cpu"] {
        println!("cargo::rustc-link-search=native={}", build.join(folder).display());
    }
    for library in ["ggml", "ggml-cpu", "ggml-base"] {
        println!("cargo::rustc-link-lib=static={library}");
    }
    println!("cargo::rustc-link-lib=stdc++");
    Ok(())
}

/// The folder `ggml` of the package, where cargo unpacks packages.
fn source() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("GGML_SOURCE") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("CARGO_HOME").ok_or("cargo sets CARGO_HOME for build scripts")?;
    let registries = PathBuf::from(home).join("registry/src");
    let found = std::fs::read_dir(&registries).into_iter().flatten().flatten();
    found
        .map(|registry| registry.path().join(PACKAGE).join("llama.cpp/ggml"))
        .find(|folder| folder.join("CMakeLists.txt").is_file())
        .ok_or_else(|| format!("{PACKAGE} is not in {}: run `cargo fetch` first", registries.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}
