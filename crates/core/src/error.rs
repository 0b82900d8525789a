//! The one error type. A message names the operation, the shapes and dtypes it was asked for and
//! the device that refused, so that an engine's author can act on it without a debugger.

use std::fmt;

/// What went wrong, in a form a program can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes, ranks or strides do not fit the operation.
    Shape,
    /// An element type does not fit the operation.
    DType,
    /// The operation is well formed, but this device cannot run it.
    Unsupported,
    /// An argument, program or binding is malformed.
    Invalid,
    /// The device has no memory left for the request.
    OutOfMemory,
    /// A range reaches outside a buffer.
    OutOfBounds,
    /// The device was lost or its driver failed.
    DeviceLost,
    /// No device answers to the name.
    DeviceNotFound,
    /// The backend broke a promise: a bug in it or in its driver.
    Internal,
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its context: operation, operands and device, where known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    inner: Box<Context>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Context {
    kind: ErrorKind,
    message: String,
    op: Option<String>,
    operands: Option<String>,
    device: Option<String>,
}

impl Error {
    /// An error of `kind` with a message that says what is wrong and what would be right.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { inner: Box::new(Context { kind, message: message.into(), op: None, operands: None, device: None }) }
    }

    /// Shorthand for [`ErrorKind::Shape`].
    pub fn shape(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Shape, message)
    }

    /// Shorthand for [`ErrorKind::DType`].
    pub fn dtype(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::DType, message)
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// Adds the operation and its operands, unless an inner layer already named them.
    #[must_use]
    pub fn with_op(mut self, op: impl fmt::Display, operands: impl fmt::Display) -> Error {
        self.inner.op.get_or_insert_with(|| op.to_string());
        self.inner.operands.get_or_insert_with(|| operands.to_string());
        self
    }

    /// Adds the device, unless an inner layer already named it.
    #[must_use]
    pub fn on_device(mut self, device: impl fmt::Display) -> Error {
        self.inner.device.get_or_insert_with(|| device.to_string());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message without its context.
    pub fn message(&self) -> &str {
        &self.inner.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &*self.inner;
        if let Some(op) = &c.op {
            write!(f, "{op}: ")?;
        }
        f.write_str(&c.message)?;
        if let Some(operands) = &c.operands {
            write!(f, " ({operands})")?;
        }
        if let Some(device) = &c.device {
            write!(f, " on {device}")?;
        }
        Ok(())
    }
}
