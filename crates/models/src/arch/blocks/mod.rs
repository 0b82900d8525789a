//! The blocks that architectures are built from. An architecture names its tensors and their
//! shapes; what is computed with them is here, once.

mod attention;
mod embedding;
mod experts;
mod linear;
mod loader;
mod mlp;
mod norm;
mod rope;
mod stack;

pub(crate) use attention::{Attention, Projections};
pub(crate) use embedding::Embedding;
pub(crate) use experts::{ExpertNames, Experts};
pub(crate) use linear::Linear;
pub(crate) use loader::Loader;
pub(crate) use mlp::Mlp;
pub(crate) use norm::{Norm, NormForm};
pub(crate) use rope::Ropes;
pub(crate) use stack::{DecoderLayer, Stack};
