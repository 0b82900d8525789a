//! What the tests across crates share: a backend written from outside, against `unisono-core`
//! alone.
//!
//! [`naive`] is the smallest complete backend. The tests run the conformance suite on it, which
//! proves two things at once: that the trait can be implemented by a third party, and that
//! lowering alone gives every composite. `docs/writing-a-backend.md` walks through it.

pub mod naive;
