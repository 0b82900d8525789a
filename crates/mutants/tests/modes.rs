//! Numeric modes: a device that accumulates in f16, or quantises activations to 8 bits, fails unless it
//! says so, passes if it does, and is still caught at a dropped term.

use unisono_conformance::{Case, CaseClass, DataClass, Level, check, suite};
use unisono_core::NumericMode;
use unisono_mutants::emulated::{Arithmetic, Builtins, Fault, Host, Order, Rounding};

/// Counted cases of a family that the host runs in an instant.
fn small(family: &str, blocks: bool) -> Vec<Case> {
    let host = Host::new(Order::Forward, Arithmetic::IEEE);
    suite(Level::Full)
        .into_iter()
        .filter(|c| {
            c.family == family
                && c.class == CaseClass::Counted
                && c.desc.flops() < 60_000
                && c.desc.inputs[1].dtype.is_block() == blocks
                && host.runs(c)
        })
        .collect()
}

/// Whether `host` passes a case within the bounds of a device that declares `modes`.
fn passes(host: Host, case: &Case, modes: &[NumericMode]) -> bool {
    let inputs: Vec<_> = (0..case.desc.inputs.len()).map(|i| case.input_bytes(i).unwrap()).collect();
    let expected = case.evaluate_with(&inputs, modes).unwrap();
    let actual = host.run(case, &inputs);
    expected.iter().zip(&actual).zip(&case.desc.outputs).all(|((e, a), d)| check(e, d, a).passed())
}

fn holds(mode: NumericMode, family: &str, blocks: bool) {
    let cases = small(family, blocks);
    assert!(cases.len() >= 3, "{family}: {} cases", cases.len());
    let rough = Arithmetic { rounding: Rounding::Either, flush: true, builtins: Builtins::Accurate };
    for order in Order::ALL {
        for arithmetic in [Arithmetic::IEEE, rough] {
            let host = Host { mode: Some(mode), ..Host::new(order, arithmetic) };
            for case in &cases {
                assert!(passes(host, case, &[mode]), "{} {order:?} {arithmetic:?}", case.id);
                assert!(case.concerned_by(&NumericMode::ALL).contains(&mode), "{}", case.id);
            }
            let undeclared = cases.iter().filter(|case| !passes(host, case, &[])).count();
            assert!(undeclared >= 2, "{family}: {mode:?} is seen in {undeclared} of {} cases", cases.len());
        }
    }
    let host = Host { mode: Some(mode), ..Host::with_fault(Fault::DropLastTerm) };
    let caught = cases.iter().filter(|case| !passes(host, case, &[mode])).count();
    assert!(caught >= 1, "{family}: a dropped term goes unnoticed under {mode:?}");
}

#[test]
fn f16_accumulation() {
    for family in ["matmul", "linear", "attention", "conv1d", "conv2d"] {
        holds(NumericMode::F16Accumulate, family, false);
    }
}

#[test]
fn activations_of_8_bits() {
    for family in ["matmul", "matmul_id", "linear"] {
        holds(NumericMode::Int8Activations, family, true);
    }
}

#[test]
fn small_integers_stay_exact_in_f16() {
    let mode = [NumericMode::F16Accumulate];
    let exact =
        small("matmul", false).into_iter().filter(|c| c.data == DataClass::Exact && c.desc.inputs[0].shape[1] < 30);
    let host = Host::with_fault(Fault::DropLastTerm);
    let (mut cases, mut caught) = (0, 0);
    for case in exact.filter(|c| c.desc.inputs[0].rank() == 2 && c.desc.outputs[0].elements() > 4) {
        cases += 1;
        caught += usize::from(!passes(host, &case, &mode));
    }
    assert!(cases >= 5 && caught == cases, "{caught} of {cases}");
}

#[test]
fn other_operations_keep_their_bounds() {
    for family in ["softmax", "rms_norm", "add", "sum"] {
        let case = suite(Level::Quick).into_iter().find(|c| c.family == family).unwrap();
        assert!(case.concerned_by(&NumericMode::ALL).is_empty(), "{}", case.id);
    }
    let plain = small("matmul", false);
    assert!(plain.iter().all(|c| c.concerned_by(&[NumericMode::Int8Activations]).is_empty()));
}
