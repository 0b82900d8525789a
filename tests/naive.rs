//! The quick level on the naive backend: a backend written from outside passes the suite with the
//! primitives that it has alone. Composites run as their decomposition; whatever lacks a primitive
//! is declined, and nothing else is.

use std::convert::Infallible;

use unisono_conformance::libtest::{Granularity, Suite};
use unisono_conformance::{Case, conformance_tests};
use unisono_core::decomposition;
use unisono_tests::naive::{Naive, covers};

conformance_tests!(
    Suite::new(|| Ok::<_, Infallible>(Naive::default())).covering(covered).with_granularity(Granularity::Family)
);

/// Whether the backend has a kernel for the operation, or for each step of its decomposition.
fn covered(case: &Case) -> bool {
    match decomposition(&case.desc) {
        Ok(program) if case.desc.op.is_composite() => program.steps().iter().all(|step| covers(&step.desc())),
        _ => covers(&case.desc),
    }
}
