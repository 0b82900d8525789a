//! The golden models of `scripts/model_goldens.py`: their weights made again by the rule, and a
//! device's results compared with what `transformers` computed; and models that packages carry.

// Every binary that includes this module uses a part of it.
#![allow(dead_code)]

pub(crate) mod blocks;
pub(crate) mod compare;
pub(crate) mod golden;
pub(crate) mod packages;
pub(crate) mod weights;
