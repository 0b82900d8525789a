//! Printing that does not panic where nobody reads: `cargo xtask package | head` ends quietly, and
//! `cargo xtask test 2>&1 | head` goes on.

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, Result};

/// Prints a line of a result. A closed pipe is no error; a full disk is.
pub(crate) fn line(text: fmt::Arguments<'_>) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints a line to standard error; where that fails there is nobody to tell.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
