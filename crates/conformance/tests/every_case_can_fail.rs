//! No case is toothless: an output that nothing wrote, or that is zero where it should not be, or
//! that is off by a percent, is a failure in each quick case.

use unisono_conformance::{Case, CaseClass, Expected, Level, check, decode, suite};
use unisono_core::{DType, TensorDesc};

fn counted() -> impl Iterator<Item = Case> {
    suite(Level::Quick).into_iter().filter(|c| c.class == CaseClass::Counted)
}

fn evaluate(case: &Case) -> Vec<Expected> {
    let inputs: Vec<_> = (0..case.desc.inputs.len()).map(|i| case.input_bytes(i).unwrap()).collect();
    case.evaluate(&inputs).unwrap()
}

fn is_checked(e: &Expected) -> bool {
    e.bounds.iter().any(|b| b.is_finite())
}

#[test]
fn unwritten_and_zero_outputs_fail() {
    for case in counted() {
        for (e, d) in evaluate(&case).iter().zip(&case.desc.outputs) {
            assert_eq!(e.values.len(), d.elements(), "{}", case.id);
            assert!(e.bounds.len() == e.values.len() && e.quality.len() == e.values.len(), "{}", case.id);
            assert!(e.bounds.iter().chain(&e.quality).all(|b| *b >= 0.0), "{}: a bound is negative or NaN", case.id);
            if d.is_empty() {
                continue;
            }
            assert!(is_checked(e), "{}: nothing is checked", case.id);
            let span = d.span_bytes() as usize;
            let float = d.dtype.is_float();
            assert!(!float || !check(e, d, &vec![0xFF; span]).passed(), "{}: NaN passes", case.id);
            let large = |(v, b): (&f64, &f64)| b.is_finite() && v.abs() - 2.0 * b > e.flush_below;
            if e.values.iter().zip(&e.bounds).any(large) {
                assert!(!check(e, d, &vec![0; span]).passed(), "{}: zeros pass", case.id);
            }
        }
    }
}

/// Elements without a guarantee are the exception: roots of negative numbers, and quotients by
/// subnormal ones or zero.
#[test]
fn nearly_every_element_is_checked() {
    for case in counted() {
        for e in evaluate(&case).iter().filter(|e| !e.values.is_empty()) {
            let unchecked = e.bounds.iter().filter(|b| b.is_infinite()).count();
            let allowed = match case.family {
                // Half of the rows have a NaN or an infinity.
                _ if case.id.contains("/apart:") => e.values.len() / 2,
                "rsqrt" | "sqrt" | "log" => e.values.len() * 3 / 4,
                // Arguments beyond 2¹⁶, and powers of numbers that have none.
                "sin" | "cos" | "pow" => e.values.len() / 2,
                "div" | "recip" => e.values.len() * 2 / 5,
                _ => 0,
            };
            assert!(
                unchecked <= allowed.max(1) || unchecked == 0,
                "{}: {unchecked} unchecked of {}",
                case.id,
                e.values.len()
            );
        }
    }
}

/// Bounds are tight enough to see a relative error of 1/16 in typical data. Numbers that become
/// blocks have the step of their format instead.
#[test]
fn bounds_of_normal_data_are_tight() {
    let makes_blocks = |c: &Case| c.desc.outputs[0].dtype.is_block();
    for case in counted().filter(|c| c.data.name() == "normal" && !makes_blocks(c)) {
        for e in evaluate(&case).iter().filter(|e| is_checked(e)) {
            let finite = || e.values.iter().zip(&e.bounds).filter(|(v, b)| b.is_finite() && v.abs() > 1e-3);
            let loose = finite().filter(|(v, b)| **b > v.abs() / 16.0).count();
            assert!(loose * 4 <= finite().count(), "{}: {loose} loose bounds of {}", case.id, finite().count());
        }
    }
}

#[test]
fn decode_reads_every_type() {
    assert_eq!(decode(DType::F16, &[0x00, 0x3C, 0x00, 0xC0]), [1.0, -2.0]);
    assert_eq!(decode(DType::BF16, &[0x80, 0x3F]), [1.0]);
    assert_eq!(decode(DType::I32, &[0xFF; 4]), [-1.0]);
    assert_eq!(decode(DType::U32, &[0xFF; 4]), [4_294_967_295.0]);
    let desc = TensorDesc::contiguous(DType::U8, &[2]).unwrap();
    assert_eq!(unisono_conformance::read_logical(&desc, &[7, 9]), Some(vec![7.0, 9.0]));
}
