//! Whether subnormal numbers survive: as operands, as results, on load and on store.
//!
//! An operand is asked for through a result that is normal, a result through operands that are
//! normal, so that one cannot hide the other.

use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{DType, Result};

use super::Trait;
use super::probe::{Probe, shown};
use crate::data::power_of_two;

const GROUP: &str = "subnormals";

/// A question: an operation on one or two vectors, and what a device that keeps everything answers.
struct Question {
    name: &'static str,
    op: Op,
    inputs: Vec<(DType, Vec<f64>)>,
    out: DType,
    kept: Vec<f64>,
    /// The same from operands read as zero, or a result flushed to zero.
    flushed: Vec<f64>,
}

/// Subnormal numbers of f32 with either sign.
fn tiny() -> Vec<f64> {
    [1.0, 3.0, 1000.0, 4_194_305.0, 8_388_607.0]
        .iter()
        .flat_map(|m| [m * 2f64.powi(-149), -m * 2f64.powi(-149)])
        .collect()
}

/// Subnormal numbers of f16.
fn tiny_half() -> Vec<f64> {
    [1.0, 3.0, 511.0, 513.0, 1023.0].iter().flat_map(|m| [m * power_of_two(-24), -m * power_of_two(-24)]).collect()
}

/// Subnormal numbers of bf16, which are subnormal in f32 too.
fn tiny_brain() -> Vec<f64> {
    [1.0, 3.0, 64.0, 127.0].iter().flat_map(|m| [m * 2f64.powi(-133), -m * 2f64.powi(-133)]).collect()
}

fn questions() -> Vec<Question> {
    let (f32, f16, bf16) = (DType::F32, DType::F16, DType::BF16);
    let least = power_of_two(-126);
    let zeros = |x: &[f64]| x.iter().map(|v| v * 0.0).collect::<Vec<f64>>();
    let fill = |x: &[f64], v: f64| vec![v; x.len()];
    let scaled = |x: &[f64], s: f64| x.iter().map(|v| v * s).collect::<Vec<f64>>();
    let (add, mul) = (Op::Binary(BinaryOp::Add), Op::Binary(BinaryOp::Mul));
    let (t, h, b) = (tiny(), tiny_half(), tiny_brain());
    // Normal operands whose difference is subnormal, and whose product is.
    let near: Vec<f64> = t.iter().map(|v| if *v < 0.0 { -least } else { least }).collect();
    let above: Vec<f64> = t.iter().zip(&near).map(|(v, n)| v + n).collect();
    let long = scaled(&t, power_of_two(60));
    let two = |name, op: &Op, a: Vec<f64>, b: Vec<f64>, kept: Vec<f64>, flushed: Vec<f64>| Question {
        name,
        op: op.clone(),
        inputs: vec![(f32, a), (f32, b)],
        out: f32,
        kept,
        flushed,
    };
    let copy = |name, from, to, x: &[f64], s: f64| Question {
        name,
        op: if s == 1.0 { Op::Copy } else { Op::Binary(BinaryOp::Mul) },
        inputs: if s == 1.0 { vec![(from, x.to_vec())] } else { vec![(from, x.to_vec()), (f32, fill(x, s))] },
        out: to,
        kept: scaled(x, s),
        flushed: zeros(x),
    };
    vec![
        two("f32 operand of add", &add, t.clone(), near.clone(), above.clone(), near.clone()),
        two("f32 result of add", &add, above, near.iter().map(|n| -n).collect(), t.clone(), zeros(&t)),
        two("f32 operand of mul", &mul, t.clone(), fill(&t, power_of_two(60)), long.clone(), zeros(&t)),
        two("f32 result of mul", &mul, long, fill(&t, power_of_two(-60)), t.clone(), zeros(&t)),
        Question {
            name: "f32 operand of neg",
            op: Op::Unary(UnaryOp::Neg),
            inputs: vec![(f32, t.clone())],
            out: f32,
            kept: scaled(&t, -1.0),
            flushed: zeros(&t),
        },
        Question {
            name: "f32 result of exp",
            op: Op::Unary(UnaryOp::Exp),
            inputs: vec![(f32, vec![-88.0, -90.0, -95.0, -100.0])],
            out: f32,
            kept: [-88.0f64, -90.0, -95.0, -100.0].iter().map(|x| x.exp()).collect(),
            flushed: vec![0.0; 4],
        },
        copy("f32 moved", f32, f32, &t, 1.0),
        copy("f16 on load", f16, f32, &h, 1.0),
        copy("f16 on load by mul", f16, f32, &h, 1024.0),
        copy("f16 on store", f32, f16, &h, 1.0),
        Question {
            name: "f16 on store by mul",
            op: mul,
            inputs: vec![(f32, scaled(&h, 1024.0)), (f32, fill(&h, power_of_two(-10)))],
            out: f16,
            kept: h.clone(),
            flushed: zeros(&h),
        },
        copy("bf16 on load by mul", bf16, f32, &b, power_of_two(60)),
        copy("bf16 on store", f32, bf16, &b, 1.0),
    ]
}

/// `kept`, `flushed to zero`, or what else came out.
fn classify(question: &Question, got: &[f64]) -> (String, String) {
    let n = got.len();
    // An exponential is not exact; a flushed one is exactly zero.
    let near = |a: f64, b: f64| a == b || (b != 0.0 && (a / b - 1.0).abs() < 1e-3);
    let exact = !matches!(question.op, Op::Unary(UnaryOp::Exp));
    let is_kept = |i: usize| if exact { got[i] == question.kept[i] } else { near(got[i], question.kept[i]) };
    let kept = (0..n).filter(|&i| is_kept(i)).count();
    let flushed = (0..n).filter(|&i| got[i] == question.flushed[i] && !is_kept(i)).count();
    let detail = format!("{kept} kept, {flushed} flushed of {n}");
    if kept == n {
        return ("kept".into(), detail);
    }
    if flushed == n {
        let zeros: Vec<usize> = (0..n).filter(|&i| got[i] == 0.0).collect();
        let alike = |i: &usize| got[*i].is_sign_negative() == question.kept[*i].is_sign_negative();
        let signs = if zeros.iter().all(alike) { "" } else { ", sign lost" };
        return (format!("flushed to zero{signs}"), detail);
    }
    let strange = (0..n).find(|&i| !is_kept(i) && got[i] != question.flushed[i]);
    let example =
        strange.map_or(String::new(), |i| format!("; {} came out as {}", shown(question.kept[i]), shown(got[i])));
    ("partly kept".into(), detail + &example)
}

pub(super) async fn ask(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    for question in questions() {
        let inputs: Vec<(DType, &[f64])> = question.inputs.iter().map(|(d, x)| (*d, x.as_slice())).collect();
        let result = probe.map(question.op.clone(), &inputs, question.out).await?;
        traits.push(match result {
            None => Trait::unsupported(GROUP, question.name),
            Some(got) => {
                let (answer, detail) = classify(&question, &got);
                Trait::new(GROUP, question.name, answer, detail)
            }
        });
    }
    Ok(())
}
