//! Open transformer models on the operations of Unisono.
