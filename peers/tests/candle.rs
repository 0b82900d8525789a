//! Candle in the families in which it meets the contract: a failure here is a fault of the adapter or of
//! the suite. `docs/results/peers.md` says what the families left out are and why they fail.

use std::convert::Infallible;

use unisono_conformance::libtest::{Granularity, Suite};
use unisono_conformance::{Level, Options, conformance_tests, families};
use unisono_core::{Backend, Support};
use unisono_peers::candle::Candle;
use unisono_peers::frame::Peer;

/// Families with results outside of the contract.
const LEFT_OUT: [&str; 19] = [
    "matmul",
    "linear",
    "attention",
    "softmax",
    "log_softmax",
    "rms_norm",
    "layer_norm",
    "add_rms_norm",
    "sigmoid",
    "silu",
    "gelu_tanh",
    "pow",
    "sum",
    "mean",
    "argmax",
    "cumsum",
    "group_norm",
    "conv2d",
    "conv1d",
];

conformance_tests!(suite());

fn suite() -> Suite {
    let device = Peer::new(Candle);
    let kept = families().into_iter().chain(["program"]).filter(|family| !LEFT_OUT.contains(family));
    Suite::new(|| Ok::<_, Infallible>(Peer::new(Candle)))
        .with_options(Options::new(Level::Quick).with_families(kept))
        .with_granularity(Granularity::Family)
        .covering(move |case| !matches!(device.supports(&case.desc), Support::Unsupported(_)))
}
