//! Small node tests with results computed by hand: they pass on the oracle and the CPU, a wrong
//! official value is a failure on both, and a device that is wrong below ONNX's tolerance fails
//! against the oracle's bound.

mod common;

use common::{Node, attribute, f32s, i64s, tensor, u8s};
use unisono_core::Device;
use unisono_cpu::CpuBackend;
use unisono_onnx::{ORACLE, TestResult, Verdict, run};

fn cpu() -> Device {
    Device::new(CpuBackend::new().unwrap())
}

fn results(node: &Node) -> TestResult {
    run(&node.test(), &[cpu()])
}

fn passes(node: &Node) {
    let result = results(node);
    assert_eq!(result.devices.len(), 2);
    assert_eq!(result.devices[0].device, ORACLE);
    for device in &result.devices {
        assert_eq!(device.verdict, Verdict::Pass, "{} on {}: {}", result.name, device.device, device.detail);
    }
}

fn matmul(corner: f32) -> Node {
    Node::new("MatMul", 13)
        .input(f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]))
        .input(f32s(&[2, 2], &[5.0, 6.0, 7.0, 8.0]))
        .output(f32s(&[2, 2], &[19.0, 22.0, 43.0, corner]))
}

#[test]
fn a_product_passes_and_a_wrong_official_value_fails() {
    passes(&matmul(50.0));
    let result = results(&matmul(50.1));
    for device in &result.devices {
        assert_eq!(device.verdict, Verdict::Fail, "{}", device.device);
        assert!(device.detail.contains("1 of 4 elements"), "{}", device.detail);
    }
}

#[test]
fn softmax_runs_along_its_axis() {
    let [two, six] = [2f32.ln(), 6f32.ln()];
    passes(
        &Node::new("Softmax", 13)
            .with(attribute("axis", 0))
            .input(f32s(&[2, 2], &[0.0, two, 0.0, six]))
            .output(f32s(&[2, 2], &[0.5, 0.25, 0.5, 0.75])),
    );
}

#[test]
fn attention_reads_the_past_and_returns_the_present() {
    // Queries of 0 weigh every key they see alike: the past one and those up to themselves.
    let node = |second: f32| {
        Node::new("Attention", 23)
            .with(attribute("is_causal", 1))
            .input(f32s(&[1, 1, 2, 1], &[0.0, 0.0]))
            .input(f32s(&[1, 1, 2, 1], &[1.0, 1.0]))
            .input(f32s(&[1, 1, 2, 1], &[4.0, 9.0]))
            .absent()
            .input(f32s(&[1, 1, 1, 1], &[7.0]))
            .input(f32s(&[1, 1, 1, 1], &[2.0]))
            .output(f32s(&[1, 1, 2, 1], &[3.0, second]))
            .output(f32s(&[1, 1, 3, 1], &[7.0, 1.0, 1.0]))
            .output(f32s(&[1, 1, 3, 1], &[2.0, 4.0, 9.0]))
    };
    passes(&node(5.0));
    // Without the causal order the first query would see 9 as well, without the past none sees 2.
    assert!(results(&node(6.5)).devices.iter().all(|d| d.verdict == Verdict::Fail));
}

#[test]
fn attention_sees_a_window_to_both_sides_as_a_mask() {
    let values = [1.0, 2.0, 3.0, 4.0];
    passes(
        &Node::new("Attention", 25)
            .with(attribute("left_window_size", 1))
            .with(attribute("right_window_size", 0))
            .input(f32s(&[1, 1, 4, 1], &[0.0; 4]))
            .input(f32s(&[1, 1, 4, 1], &values))
            .input(f32s(&[1, 1, 4, 1], &values))
            .output(f32s(&[1, 1, 4, 1], &[1.0, 1.5, 2.5, 3.5])),
    );
}

#[test]
fn gather_counts_from_the_end() {
    passes(
        &Node::new("Gather", 13)
            .with(attribute("axis", 1))
            .input(f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
            .input(i64s(&[2], &[-1, 0]))
            .output(f32s(&[2, 2], &[3.0, 1.0, 6.0, 4.0])),
    );
}

#[test]
fn scatter_adds_up_what_has_one_index() {
    passes(
        &Node::new("ScatterND", 18)
            .with(common::text("reduction", "add"))
            .input(f32s(&[3], &[1.0, 2.0, 3.0]))
            .input(i64s(&[3, 1], &[2, 0, 2]))
            .input(f32s(&[3], &[10.0, 20.0, 30.0]))
            .output(f32s(&[3], &[21.0, 2.0, 43.0])),
    );
}

#[test]
fn topk_orders_and_quantisation_rounds_and_saturates() {
    passes(
        &Node::new("TopK", 11)
            .input(f32s(&[1, 4], &[1.0, 3.0, 3.0, 2.0]))
            .input(i64s(&[1], &[3]))
            .output(f32s(&[1, 3], &[3.0, 3.0, 2.0]))
            .output(i64s(&[1, 3], &[1, 2, 3])),
    );
    // 0.5 and 1.5 in units of the scale are ties: to even.
    let node = |last: u8| {
        Node::new("QuantizeLinear", 13)
            .input(f32s(&[5], &[-1.0, 0.25, 0.75, 0.4, 1000.0]))
            .input(f32s(&[], &[0.5]))
            .input(u8s(&[], &[10]))
            .output(u8s(&[5], &[8, 10, 12, 11, last]))
    };
    passes(&node(255));
    assert!(results(&node(254)).devices.iter().all(|d| d.verdict == Verdict::Fail));
}

fn i32s(dims: &[i64], values: &[i32]) -> unisono_onnx::proto::TensorProto {
    tensor("", 6, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

#[test]
fn remainders_are_exact_and_take_the_sign_that_was_asked_for() {
    let (a, b) = ([1e10, -1e10, 7.5, -7.5, 16_777_216.0], [3.0, 3.0, -2.0, 2.0, 0.1]);
    // What Python's math.fmod gives for the numbers as f32 holds them.
    let node = |first: f32| {
        Node::new("Mod", 13)
            .with(attribute("fmod", 1))
            .input(f32s(&[5], &a))
            .input(f32s(&[5], &b))
            .output(f32s(&[5], &[first, -1.0, 1.5, -1.5, 0.050_000_004]))
    };
    passes(&node(1.0));
    assert!(results(&node(0.0)).devices.iter().all(|d| d.verdict == Verdict::Fail));
    let (a, b) = ([-7, 7, -7, 7, 6, i32::MIN], [2, -2, -2, 2, -3, -1]);
    let node = |fmod, rest: [i32; 6]| {
        Node::new("Mod", 13)
            .with(attribute("fmod", fmod))
            .input(i32s(&[6], &a))
            .input(i32s(&[6], &b))
            .output(i32s(&[6], &rest))
    };
    passes(&node(1, [-1, 1, -1, 1, 0, 0]));
    passes(&node(0, [1, -1, -1, 1, 0, 0]));
}

#[test]
fn sums_of_bytes_are_exact_beyond_what_f32_holds() {
    for (k, last) in [(259usize, 254u8), (1000, 255), (65_793, 253)] {
        let (mut a, mut b) = (vec![255u8; k], vec![255u8; k]);
        (a[k - 1], b[0]) = (last, 1);
        let sum: i64 = a.iter().zip(&b).map(|(&a, &b)| (i64::from(a) - 1) * i64::from(b)).sum();
        passes(
            &Node::new("MatMulInteger", 10)
                .input(u8s(&[1, k as i64], &a))
                .input(u8s(&[k as i64, 1], &b))
                .input(u8s(&[], &[1]))
                .output(i32s(&[1, 1], &[sum as i32])),
        );
    }
    let channels = 300;
    let (mut x, w) = (vec![0u8; channels], vec![255u8; channels]);
    x[channels - 1] = 1;
    let sum = (1 - 255) * 255 - 255 * 255 * (channels as i32 - 1);
    passes(
        &Node::new("ConvInteger", 10)
            .input(u8s(&[1, channels as i64, 1, 1], &x))
            .input(u8s(&[1, channels as i64, 1, 1], &w))
            .input(u8s(&[], &[255]))
            .output(i32s(&[1, 1, 1, 1], &[sum])),
    );
}

#[test]
fn powers_of_integers_are_exact_and_wrap() {
    let node = |last: i32| {
        Node::new("Pow", 15)
            .input(i32s(&[5], &[7, -3, 5, 0, 3]))
            .input(i64s(&[5], &[9, 19, 0, 0, 21]))
            .output(i32s(&[5], &[40_353_607, -1_162_261_467, 1, 1, last]))
    };
    passes(&node(3i32.wrapping_pow(21)));
    assert!(results(&node(0)).devices.iter().all(|d| d.verdict == Verdict::Fail));
    let negative = Node::new("Pow", 15).input(i32s(&[1], &[2])).input(i64s(&[1], &[-1])).output(i32s(&[1], &[0]));
    assert!(results(&negative).devices.iter().all(|d| d.verdict == Verdict::Unmapped));
}

#[test]
fn a_small_hyperbolic_sine_does_not_cancel() {
    let x = [1e-6f32, -1e-4, 0.5, -0.999, 1.001, 3.0];
    passes(&Node::new("Sinh", 9).input(f32s(&[6], &x)).output(f32s(&[6], &x.map(|x| f64::from(x).sinh() as f32))));
}

#[test]
fn what_the_contract_has_no_word_for_is_not_covered() {
    let verdict = |node: &Node| results(node).devices.into_iter().map(|d| (d.verdict, d.detail)).collect::<Vec<_>>();
    for (verdict, detail) in verdict(&Node::new("Resize", 13).input(f32s(&[1], &[1.0])).output(f32s(&[1], &[1.0]))) {
        assert_eq!((verdict, &detail[..]), (Verdict::NotCovered, "no mapping of Resize"));
    }
    let double = |name| tensor(name, 11, &[1], 1f64.to_le_bytes().to_vec());
    for (verdict, detail) in verdict(&Node::new("Abs", 13).input(double("x")).output(double("y"))) {
        assert_eq!((verdict, &detail[..]), (Verdict::NotCovered, "the contract has no element type float64"));
    }
    let other = Node::new("Gelu", 20).with(common::text("approximate", "other"));
    for (verdict, detail) in verdict(&other.input(f32s(&[1], &[0.0])).output(f32s(&[1], &[0.0]))) {
        assert_eq!(verdict, Verdict::Unmapped, "{detail}");
    }
}

#[test]
fn an_error_below_the_tolerance_is_over_the_bound() {
    let node = Node::new("Exp", 13).input(f32s(&[2], &[0.5, 1.0])).output(f32s(&[2], &[0.5f32.exp(), 1f32.exp()]));
    let nudged = Device::new(std::sync::Arc::new(common::Nudged(CpuBackend::new().unwrap(), 1.00001)));
    let result = run(&node.test(), &[cpu(), nudged]);
    let [oracle, cpu, nudged] = &result.devices[..] else { panic!("{result:?}") };
    assert_eq!((oracle.verdict, cpu.verdict), (Verdict::Pass, Verdict::Pass), "{}", cpu.detail);
    assert!(cpu.ratio.is_some_and(|r| r <= 1.0));
    assert_eq!(nudged.verdict, Verdict::Fail);
    assert!(nudged.detail.contains("over the oracle's bound"), "{}", nudged.detail);
}

#[test]
fn a_device_within_the_bounds_of_the_contract_is_loose_and_not_wrong() {
    // The tanh of the contract may be off by 1e-5, more than a thousandth of itself at 1e-4. The
    // sum of two such steps has no derived bound, so the spread of the oracle decides.
    let x = 1e-4f32;
    let y = x.tanh() + x.tanh();
    let mut node = Node::new("Tanh", 13).input(f32s(&[1], &[x])).output(f32s(&[1], &[y]));
    let graph = node.model.graph.as_mut().unwrap();
    graph.node[0].output = vec!["t".into()];
    let mut sum = graph.node[0].clone();
    (sum.op_type, sum.input, sum.output) = ("Add".into(), vec!["t".into(), "t".into()], vec!["y0".into()]);
    graph.node.push(sum);
    let off = |factor| Device::new(std::sync::Arc::new(common::Nudged(CpuBackend::new().unwrap(), factor)));
    let result = run(&node.test(), &[cpu(), off(1.01), off(1.5)]);
    let verdicts: Vec<Verdict> = result.devices.iter().map(|d| d.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Loose, Verdict::Fail], "{result:?}");
}
