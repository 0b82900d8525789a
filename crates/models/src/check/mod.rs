//! Comparing a device with what another implementation computed.

mod embedded;
mod goldens;
mod verify;

#[cfg(not(target_family = "wasm"))]
pub use embedded::verify;
pub use embedded::{goldens, tiny_llama, verify_async};
pub use goldens::{Golden, Goldens};
#[cfg(not(target_family = "wasm"))]
pub use verify::verify_source;
pub use verify::{PromptResult, Verification, verify_source_async};
