//! The files that models are published in. They come from strangers: nothing is believed before it
//! was compared with what the file can hold.

mod conventions;
mod data;
pub mod gguf;
#[cfg(not(target_family = "wasm"))]
mod mapping;
#[cfg(not(target_family = "wasm"))]
mod misplaced;
#[cfg(not(target_family = "wasm"))]
mod open;
pub(crate) mod pointer;
mod progress;
mod python;
mod random;
pub mod safetensors;
mod source;
mod tensor;
mod text;
mod unique;
mod weights;

pub(crate) use conventions::Conventions;
pub(crate) use python::python_json;
pub use source::Source;
pub use tensor::{StoredType, TensorInfo};
pub(crate) use text::{printable, shown};
pub(crate) use weights::Weights;
