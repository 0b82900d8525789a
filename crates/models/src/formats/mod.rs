//! The files that models are published in. They come from strangers: nothing is believed before it
//! was compared with what the file can hold.

mod source;
mod weights;

pub use source::Source;
pub(crate) use weights::Weights;
