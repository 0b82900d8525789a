//! The command as a child process: how it ended and what it printed. Shared by all tests of the
//! command line, of which each is a crate of its own and uses what it needs.
#![allow(dead_code)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The command, without colours.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unisono"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// Runs a command with this standard input: exit code, standard output, standard error.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs the command without input: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(&mut command(arguments), b"")
}

/// Holds a result to an exit code, and to an error that has these parts.
#[track_caller]
pub(crate) fn assert_fails(arguments: &[&str], result: &(i32, String, String), code: i32, parts: &[&str]) {
    let (actual, out, err) = result;
    assert_eq!(*actual, code, "{arguments:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    for part in parts {
        assert!(err.contains(part), "{arguments:?}: '{part}' is not in: {err}");
    }
}

/// Runs the command, which fails with this exit code and names these parts.
#[track_caller]
pub(crate) fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    assert_fails(arguments, &run(arguments), code, parts);
}

/// Puts the embedded model as files into a directory.
pub(crate) fn copy_model(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets/tiny-llama");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
