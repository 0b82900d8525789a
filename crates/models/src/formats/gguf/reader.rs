//! A cursor over bytes that nobody vouches for: whatever is taken was there.

use std::fmt::Arguments;

use unisono_core::{Error, Result};

/// What is left of a file's header.
pub(super) struct Reader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { file, bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// An error that names the file.
    pub(super) fn error(&self, message: Arguments<'_>) -> Error {
        Error::invalid(format!("{}: {message}", self.file))
    }

    /// The next `n` bytes; `what` they are, for the error.
    pub(super) fn take(&mut self, n: u64, what: Arguments<'_>) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(n).ok().and_then(|n| rest.get(..n));
        let Some(taken) = taken else {
            let (at, left) = (self.at, rest.len());
            return Err(self.error(format_args!("{what} at byte {at} takes {n} bytes, the file has {left} more")));
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: Arguments<'_>) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        bytes.try_into().map_err(|_| Error::internal("a slice of another length than asked for"))
    }

    pub(super) fn u32(&mut self, what: Arguments<'_>) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: Arguments<'_>) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number of things of at least `each` bytes, which the rest of the file can hold.
    pub(super) fn count(&mut self, each: u64, what: Arguments<'_>) -> Result<u64> {
        let count = self.u64(what)?;
        self.fits(count, each, what)?;
        Ok(count)
    }

    /// Whether the rest of the file can hold `count` things of at least `each` bytes.
    pub(super) fn fits(&self, count: u64, each: u64, what: Arguments<'_>) -> Result<()> {
        let left = self.bytes.len().saturating_sub(self.at) as u64;
        match count.checked_mul(each) {
            Some(bytes) if bytes <= left => Ok(()),
            _ => Err(self.error(format_args!("{what} is {count}, too large for the {left} bytes that follow"))),
        }
    }

    /// A string: its length in 8 bytes, then its bytes.
    pub(super) fn string_bytes(&mut self, what: Arguments<'_>) -> Result<&'a [u8]> {
        let length = self.u64(what)?;
        self.take(length, what)
    }

    /// A string that is UTF-8.
    pub(super) fn string(&mut self, what: Arguments<'_>) -> Result<&'a str> {
        let bytes = self.string_bytes(what)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(format_args!("{what} is not UTF-8")))
    }
}
