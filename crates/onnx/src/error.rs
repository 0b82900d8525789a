//! Why a test could not be read or run.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or tensor is not what it should be.
    #[error("{0}")]
    Malformed(String),
}

/// The result of reading.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a test has no verdict from its values.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The contract has no word for the operator or for an element type.
    NotCovered(String),
    /// The operator is mapped, this form of it is not.
    Unmapped(String),
    /// The node breaks the rules of its operator.
    Malformed(String),
    /// The contract or the device refused.
    Core(unisono_core::Error),
}

impl From<unisono_core::Error> for Stop {
    fn from(error: unisono_core::Error) -> Stop {
        Stop::Core(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Malformed(error.to_string())
    }
}
