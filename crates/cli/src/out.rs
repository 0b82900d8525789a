//! Where everything that the program prints goes: results to standard output by [`out!`] and
//! [`outln!`], notes and errors to standard error by [`err!`] and [`errln!`].
//!
//! Whoever reads may stop (`unisono … | head`), and a disk may be full; the macros of the standard
//! library panic then. Here the first failure is kept and the rest is not printed. Work that leaves
//! nothing behind but what it prints ends where it asks [`wanted`]. Work that also leaves files goes
//! on, silently: `unisono check --report DIR | head` writes its report. No process is ended in the
//! middle, so drivers, worker processes and temporary files are left as they should be.
//!
//! A closed pipe then ends the program quietly with exit code 141, on every system. Other tools
//! end by the signal SIGPIPE there, number 13, for which a shell gives 128 + 13. It is not 0, because
//! nobody has read whether all passed, and not 1, because nothing failed. Any other failure is an
//! error, with exit code 1. Where standard error cannot be written there is nobody to tell, so that
//! is ignored.
//!
//! Lints keep the rest of the program from writing by itself.

// The one place that may.
#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

/// The exit code where standard output was closed before all was printed.
const CLOSED: u8 = 141;

/// What went wrong first with standard output.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints to standard output as `print!` does, and never panics.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::print(::std::format_args!($($text)*)) };
}

/// Prints to standard output as `println!` does, and never panics.
macro_rules! outln {
    () => { $crate::out::print(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::print(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

/// Prints to standard error as `eprint!` does, and never panics.
macro_rules! err {
    ($($text:tt)*) => { $crate::out::note(::std::format_args!($($text)*)) };
}

/// Prints to standard error as `eprintln!` does, and never panics.
macro_rules! errln {
    () => { $crate::out::note(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::note(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

/// Nothing that is printed arrives any more. [`finish`] says why.
#[derive(Debug)]
pub(crate) struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output cannot be written to")
    }
}

impl std::error::Error for Unread {}

/// Writes to standard output, unless that has failed before. For the macros.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    if FAILURE.get().is_none() {
        keep(io::stdout().lock().write_fmt(text));
    }
}

/// Hands what was printed on now, as text that comes bit by bit needs it.
pub(crate) fn flush() {
    if FAILURE.get().is_none() {
        keep(io::stdout().lock().flush());
    }
}

/// Writes to standard error. For the macros.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    drop(io::stderr().lock().write_fmt(text));
}

/// An error if standard output takes nothing any more: a command that only prints ends then.
pub(crate) fn wanted() -> Result<(), Unread> {
    FAILURE.get().map_or(Ok(()), |_| Err(Unread))
}

/// The exit code for arguments that were refused, or that asked for help or the version.
pub(crate) fn refused(error: &clap::Error) -> u8 {
    let printed = error.print();
    if error.use_stderr() {
        return 2;
    }
    keep(printed);
    finish(0)
}

/// Writes the rest, and says what the program ends with: `code`, or what standard output's failure
/// makes of it.
pub(crate) fn finish(code: u8) -> u8 {
    flush();
    match FAILURE.get() {
        None => code,
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => CLOSED,
        Some(error) => {
            errln!("error: cannot write to standard output: {error}");
            1
        }
    }
}

fn keep(written: io::Result<()>) {
    if let Err(error) = written {
        // Only the first matters.
        drop(FAILURE.set(error));
    }
}
