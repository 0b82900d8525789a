//! Files mapped into memory, so that a tensor goes to a device straight from the page cache: no
//! copy of a checkpoint lies on the heap, and files may be larger than memory.
//!
//! # If the file changes
//!
//! The content of a mapping is the file's, at any time. A file that is written to while a model
//! loads gives a model of old and new weights; nothing else is at risk, for headers are copied
//! when they are checked and tensors are plain numbers. A file that is truncated while its bytes
//! are read ends the process on Unix (`SIGBUS`), as it does in every program that maps files; the
//! length is compared before each tensor, so that only a truncation within the copying of a tensor
//! is left. Replace files by renaming, as downloads do: a renamed or deleted file stays whole as
//! long as it is mapped.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use unisono_core::{Error, Result};

/// A file, mapped as a whole for reading.
#[derive(Debug)]
pub(crate) struct Mapping {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl Mapping {
    /// Maps a regular file.
    pub(crate) fn open(path: &Path) -> Result<Mapping> {
        let fail = |e: std::io::Error| Error::invalid(format!("{}: {e}", path.display()));
        if !path.exists() {
            return Err(Error::invalid(format!("{} does not exist", path.display())));
        }
        // Asked before opening: opening a pipe waits for its other end.
        if !path.metadata().map_err(fail)?.is_file() {
            return Err(Error::invalid(format!("{} is not a file", path.display())));
        }
        let file = File::open(path).map_err(fail)?;
        // SAFETY: the contract of `map` is that the file keeps its content while it is mapped.
        // Nobody can promise that of a file; the module's documentation says what follows. Tensors
        // are plain numbers, of which every pattern of bits is valid, and what a header says is
        // copied out of the mapping when it is checked and never read from there again.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        Ok(Mapping { path: path.to_path_buf(), file, map })
    }

    /// The bytes. Fails where the file has become shorter since it was opened.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        let length = self.file.metadata().map_err(|e| Error::invalid(format!("{}: {e}", self.path.display())))?.len();
        if length < self.map.len() as u64 {
            let (path, was) = (self.path.display(), self.map.len());
            return Err(Error::invalid(format!("{path} has become shorter: it had {was} bytes and has {length}")));
        }
        Ok(&self.map)
    }
}
