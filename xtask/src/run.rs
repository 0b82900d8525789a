//! Starting other programs: every command is printed before it runs, so that a person can repeat
//! it by hand, and a failure names the command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::out;

/// The root of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).context("the folder of xtask has no parent")
}

/// Cargo's folder for build outputs.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let root = root()?;
    // Joining an absolute path yields that path.
    Ok(root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())))
}

/// A command of cargo, of the toolchain that runs xtask, in the root of the workspace.
pub(crate) fn cargo(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()?);
    Ok(command)
}

/// A heading on standard error: standard output is kept for results.
pub(crate) fn heading(text: &str) {
    out::note(format_args!("\n== {text}"));
}

/// Prints and runs a command; an exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    out::note(format_args!("+ {shown}"));
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote no UTF-8"))
}

/// Whether a program can be started and answers `args` with status 0.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command with the rights of the administrator: as it is for root, else through `sudo`, which
/// may ask for a password only where somebody can type it.
pub(crate) fn as_root(program: &str, args: &[&str]) -> Result<Command> {
    let user = output(Command::new("id").arg("-u"))?;
    let mut command = if user.trim() == "0" {
        Command::new(program)
    } else if answers("sudo", &["-V"]) {
        let mut sudo = Command::new("sudo");
        if !std::io::stdin().is_terminal() {
            sudo.arg("-n");
        }
        sudo.arg(program);
        sudo
    } else {
        bail!("`{}` needs root, and there is no sudo", shell_words(program, args));
    };
    command.args(args);
    Ok(command)
}

/// A command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let program = command.get_program().to_string_lossy();
    // Cargo hands its own full path to its subcommands; the name is what a person would type.
    let name = Path::new(program.as_ref())
        .file_stem()
        .map_or(program.clone(), |stem| if stem == "cargo" { stem.to_string_lossy() } else { program.clone() });
    shell_words(&name, &args)
}

fn shell_words(program: &str, args: &[&str]) -> String {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_=./:,+@%~".contains(c));
    let mut words = Vec::with_capacity(args.len() + 1);
    for word in std::iter::once(&program).chain(args) {
        if plain(word) {
            words.push((*word).to_owned());
        } else {
            words.push(format!("'{}'", word.replace('\'', r"'\''")));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_reads_them() {
        assert_eq!(shell_words("cargo", &["test", "-p", "xtask"]), "cargo test -p xtask");
        assert_eq!(shell_words("echo", &["a b", "", "it's"]), r"echo 'a b' '' 'it'\''s'");
    }

    #[test]
    fn failures_name_the_command() {
        let error = run(&mut Command::new("unisono-no-such-program")).unwrap_err();
        assert!(format!("{error:#}").contains("unisono-no-such-program"));
        let error = output(cargo(&["no-such-subcommand"]).unwrap().stdin(Stdio::null()));
        assert!(error.unwrap_err().to_string().contains("cargo no-such-subcommand"));
    }
}
