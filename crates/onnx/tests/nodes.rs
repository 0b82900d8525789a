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
