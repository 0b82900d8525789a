//! Proof on the host that the bounds are right from both sides: correct kernels in f32 pass every
//! small case in three orders of summation, as processors compute and as roughly as WGSL admits, and
//! each planted fault is caught.

use unisono_conformance::{Case, CaseClass, Level, check, suite};
use unisono_mutants::emulated::{Arithmetic, Builtins, Fault, Host, Order, Rounding};

const HOST: Host = Host::new(Order::Forward, Arithmetic::IEEE);

/// As far from IEEE as WGSL admits.
const ROUGHEST: Arithmetic = Arithmetic { rounding: Rounding::Either, flush: true, builtins: Builtins::Worst };

/// Counted cases of a family that the host runs in an instant, on types that f32 represents.
fn small(family: &str, level: Level) -> Vec<Case> {
    suite(level)
        .into_iter()
        .filter(|c| {
            let operands = || c.desc.inputs.iter().chain(&c.desc.outputs);
            c.family == family
                && c.class == CaseClass::Counted
                && c.desc.flops() < 400_000
                && operands().all(|d| d.elements() <= 20_000)
                && HOST.runs(c)
        })
        .collect()
}

/// The quick ones, or those of the full level where the quick level has few.
fn enough(family: &str) -> Vec<Case> {
    let quick = small(family, Level::Quick);
    if quick.len() >= 3 { quick } else { small(family, Level::Full) }
}

/// The failures of `host` on `case`, in words.
fn failures(host: Host, case: &Case) -> Option<String> {
    let inputs: Vec<_> = (0..case.desc.inputs.len()).map(|i| case.input_bytes(i).unwrap()).collect();
    let expected = case.evaluate(&inputs).unwrap();
    let actual = host.run(case, &inputs);
    let outcomes: Vec<_> =
        expected.iter().zip(&actual).zip(&case.desc.outputs).map(|((e, a), d)| check(e, d, a)).collect();
    outcomes.iter().find(|o| !o.passed()).map(|o| format!("{} {host:?}: {o:?}", case.id))
}

const FAMILIES: [&str; 58] = [
    "matmul",
    "matmul_id",
    "linear",
    "attention",
    "softmax",
    "log_softmax",
    "rope_write",
    "rms_norm",
    "layer_norm",
    "add_rms_norm",
    "rope",
    "copy",
    "concat",
    "gather_rows",
    "scatter_rows",
    "neg",
    "exp",
    "rsqrt",
    "tanh",
    "sigmoid",
    "silu",
    "gelu",
    "gelu_tanh",
    "add",
    "sub",
    "mul",
    "div",
    "swiglu",
    "abs",
    "sign",
    "square",
    "sqrt",
    "recip",
    "log",
    "sin",
    "cos",
    "erf",
    "relu",
    "gelu_quick",
    "softplus",
    "floor",
    "ceil",
    "round",
    "pow",
    "minimum",
    "maximum",
    "geglu",
    "geglu_tanh",
    "reglu",
    "sum",
    "mean",
    "prod",
    "cumsum",
    "group_norm",
    "l2_norm",
    "im2col",
    "conv1d",
    "conv2d",
];

#[test]
fn correct_kernels_pass_in_every_order() {
    for family in FAMILIES.into_iter().chain(["max", "argmax", "min", "argmin", "topk", "argsort"]) {
        let cases = enough(family);
        assert!(cases.len() >= 3, "{family} has {} small cases", cases.len());
        for case in &cases {
            for order in Order::ALL {
                for arithmetic in [Arithmetic::IEEE, ROUGHEST] {
                    assert_eq!(failures(Host::new(order, arithmetic), case), None);
                }
            }
        }
    }
}

#[test]
fn every_planted_fault_is_caught() {
    let faults = [
        ("matmul", Fault::DropLastTerm),
        ("matmul", Fault::HalfAccumulator),
        ("matmul", Fault::StageInHalf),
        ("matmul", Fault::LastElementMissing),
        ("matmul_id", Fault::DropLastTerm),
        ("matmul_id", Fault::HalfAccumulator),
        ("matmul_id", Fault::ClampIndex),
        ("linear", Fault::DropLastTerm),
        ("linear", Fault::HalfAccumulator),
        ("linear", Fault::NoBias),
        ("linear", Fault::ResidualFirst),
        ("linear", Fault::TanhForErf),
        ("linear", Fault::TanhByExponentials),
        ("attention", Fault::Unscaled),
        ("attention", Fault::WrongHead),
        ("attention", Fault::MaskOffByOne),
        ("attention", Fault::IgnoreMask),
        ("attention", Fault::NoMaximum),
        ("attention", Fault::HalfAccumulator),
        ("attention", Fault::LastElementMissing),
        ("attention", Fault::WindowOffByOne),
        ("attention", Fault::MaskBeforeCap),
        ("attention", Fault::TanhByExponentials),
        ("attention", Fault::SinkHasValue),
        ("attention", Fault::WrongSink),
        ("attention", Fault::NoSink),
        ("attention", Fault::WrongPage),
        ("attention", Fault::WrongSequence),
        ("softmax", Fault::Unscaled),
        ("softmax", Fault::MaskOffByOne),
        ("softmax", Fault::IgnoreMask),
        ("softmax", Fault::NoMaximum),
        ("softmax", Fault::DropLastTerm),
        ("softmax", Fault::WindowOffByOne),
        ("softmax", Fault::SinkHasValue),
        ("softmax", Fault::NoSink),
        ("log_softmax", Fault::NoMaximum),
        ("log_softmax", Fault::DropLastTerm),
        ("log_softmax", Fault::NoSink),
        ("log_softmax", Fault::MaskedLogIsZero),
        ("log_softmax", Fault::IgnoreMask),
        ("rms_norm", Fault::SumForMean),
        ("rms_norm", Fault::NoEps),
        ("rms_norm", Fault::DropLastTerm),
        ("rms_norm", Fault::StageInHalf),
        ("layer_norm", Fault::OnePassVariance),
        ("layer_norm", Fault::DropLastTerm),
        ("add_rms_norm", Fault::NormOfInput),
        ("add_rms_norm", Fault::DropLastTerm),
        ("rope", Fault::WrongPairing),
        ("rope", Fault::WrongSign),
        ("rope", Fault::ClampIndex),
        ("rope_write", Fault::WrongPairing),
        ("rope_write", Fault::ClampIndex),
        ("rope_write", Fault::WrongRow),
        ("gather_rows", Fault::ClampIndex),
        ("scatter_rows", Fault::ClampIndex),
        ("copy", Fault::Truncate),
        ("concat", Fault::BackwardAxis),
        ("tanh", Fault::TanhByExponentials),
        ("gelu_tanh", Fault::TanhByExponentials),
        ("gelu", Fault::TanhForErf),
        ("sub", Fault::SwapOperands),
        ("div", Fault::SwapOperands),
        ("swiglu", Fault::SwapOperands),
        ("sum", Fault::DropLastTerm),
        ("sum", Fault::HalfAccumulator),
        ("mean", Fault::SumForMean),
        ("max", Fault::NoMaximum),
        ("argmax", Fault::LastOfTies),
        ("exp", Fault::LastElementMissing),
        ("round", Fault::RoundAway),
        ("floor", Fault::Truncate),
        ("softplus", Fault::NoMaximum),
        ("pow", Fault::WrongSign),
        ("pow", Fault::SwapOperands),
        ("geglu", Fault::SwapOperands),
        ("geglu", Fault::TanhForErf),
        ("min", Fault::NoMaximum),
        ("argmin", Fault::LastOfTies),
        ("prod", Fault::DropLastTerm),
        ("cumsum", Fault::DropLastTerm),
        ("cumsum", Fault::ExclusiveOffByOne),
        ("cumsum", Fault::WrongDirection),
        ("topk", Fault::LastOfTies),
        ("topk", Fault::WrongDirection),
        ("argsort", Fault::LastOfTies),
        ("argsort", Fault::LastElementMissing),
        ("group_norm", Fault::WrongGroup),
        ("group_norm", Fault::OnePassVariance),
        ("group_norm", Fault::DropLastTerm),
        ("l2_norm", Fault::NoEps),
        ("l2_norm", Fault::DropLastTerm),
        ("im2col", Fault::NoDilation),
        ("im2col", Fault::PaddingOffByOne),
        ("conv1d", Fault::NoDilation),
        ("conv1d", Fault::NoBias),
        ("conv2d", Fault::WrongGroup),
        ("conv2d", Fault::NoDilation),
        ("conv2d", Fault::PaddingOffByOne),
        ("conv2d", Fault::DropLastTerm),
    ];
    for (family, fault) in faults {
        let host = Host::with_fault(fault);
        let caught = enough(family).iter().any(|c| failures(host, c).is_some());
        assert!(caught, "{family}: {fault:?} goes unnoticed");
    }
}
