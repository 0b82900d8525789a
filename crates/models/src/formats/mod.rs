//! The files that models are published in. They come from strangers: nothing is believed before it
//! was compared with what the file can hold.

mod conventions;
mod data;
pub mod gguf;
#[cfg(not(target_family = "wasm"))]
mod mapping;
#[cfg(not(target_family = "wasm"))]
mod open;
mod progress;
mod random;
pub mod safetensors;
mod source;
mod tensor;
mod text;
mod unique;
mod weights;

pub(crate) use conventions::Conventions;
pub use source::Source;
pub use tensor::{StoredType, TensorInfo};
pub(crate) use text::printable;
pub(crate) use weights::Weights;
