//! The bytes of a file: in memory, or mapped.

use std::borrow::Cow;
use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::sync::Arc;

use unisono_core::Result;

/// A file's content.
#[derive(Clone)]
pub(crate) enum Data {
    /// In memory: what a browser fetched, or what is part of the program.
    Bytes(Cow<'static, [u8]>),
    /// On disk, read where it is touched.
    #[cfg(not(target_family = "wasm"))]
    Mapped(Arc<super::mapping::Mapping>),
}

impl Data {
    /// All of it. Fails where a file has become shorter since it was opened.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        match self {
            Data::Bytes(bytes) => Ok(bytes),
            #[cfg(not(target_family = "wasm"))]
            Data::Mapped(mapping) => mapping.bytes(),
        }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            #[cfg(not(target_family = "wasm"))]
            Data::Mapped(mapping) => mapping.fmt(f),
        }
    }
}
