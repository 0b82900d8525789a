//! One test on the oracle and on every device, and the verdict on each.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unisono_core::{Backend, Device, ErrorKind, Tensor};

use crate::call::Call;
use crate::compare::{self, OracleOutput};
use crate::error::Stop;
use crate::map;
use crate::oracle::OracleBackend;
use crate::suite::{DataSet, Test};
use crate::value::Value;

/// The name of the oracle among the devices.
pub const ORACLE: &str = "oracle";

/// Runs of the perturbed oracle that say how far the contract's bounds reach.
const TRIALS: u64 = 16;

/// What became of a test on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every output agrees with the official one and is within the oracle's bound.
    Pass,
    /// An output is wrong, or the device broke.
    Fail,
    /// An output is outside ONNX's tolerance, but no farther from the official one than the
    /// contract's own bounds allow: the contract is looser here.
    Loose,
    /// The device declines the operation.
    Unsupported,
    /// The operator is mapped, this form of it is not: a miss of the mapping or of the contract.
    Unmapped,
    /// The contract has no word for an operator or element type of the test.
    NotCovered,
}

impl Verdict {
    /// Every verdict, in the order of tables.
    pub const ALL: [Verdict; 6] =
        [Verdict::Pass, Verdict::Fail, Verdict::Loose, Verdict::Unsupported, Verdict::Unmapped, Verdict::NotCovered];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Loose => "loose",
            Verdict::Unsupported => "unsupported",
            Verdict::Unmapped => "unmapped",
            Verdict::NotCovered => "not covered",
        }
    }
}

/// The verdict on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceVerdict {
    /// The device's id, or [`ORACLE`].
    pub device: String,
    /// What became of the test.
    pub verdict: Verdict,
    /// Why, where it did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The largest error/bound against the oracle, where the test is one inexact operation of the
    /// contract, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// A test on the oracle and every device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Whether its graph has a single node.
    pub single: bool,
    /// The oracle first, then the devices in the order given.
    pub devices: Vec<DeviceVerdict>,
}

/// Runs a test on the oracle and on `devices`.
pub fn run(test: &Test, devices: &[Device]) -> TestResult {
    let single = test.graph.node.len() == 1;
    let mut result = TestResult { name: test.name.clone(), operator: test.operator(), single, devices: Vec::new() };
    let mut push = |device: &str, verdict, detail, ratio| {
        result.devices.push(DeviceVerdict { device: device.to_owned(), verdict, detail, ratio });
    };
    if let Some(reason) = foreign(test) {
        push(ORACLE, Verdict::NotCovered, reason.clone(), None);
        devices.iter().for_each(|d| push(&d.info().id, Verdict::NotCovered, reason.clone(), None));
        return result;
    }
    let oracle = guarded(|| on_oracle(test, OracleBackend::new()));
    match &oracle {
        Ok(outputs) => {
            let agreed = test.data.iter().zip(outputs).find_map(|(data, outputs)| {
                let outputs: Vec<&Value> = outputs.iter().map(|o| &o.value).collect();
                disagreement(data, &outputs)
            });
            let verdict = if agreed.is_none() { Verdict::Pass } else { Verdict::Fail };
            push(ORACLE, verdict, agreed.unwrap_or_default(), None);
        }
        Err((verdict, detail)) => push(ORACLE, *verdict, detail.clone(), None),
    }
    for device in devices {
        let id = &device.info().id;
        match guarded(|| test.data.iter().map(|data| execute(test, data, device)).collect::<Result<Vec<_>, _>>()) {
            Ok(outputs) => {
                let (verdict, detail, ratio) = judge(test, &outputs, oracle.as_ref().ok());
                push(id, verdict, detail, ratio);
            }
            Err((verdict, detail)) => push(id, verdict, detail, None),
        }
    }
    result
}

/// Why the contract has no word for the test, if so.
fn foreign(test: &Test) -> Option<String> {
    for node in &test.graph.node {
        if map::find(&node.domain, &node.op_type).is_none() {
            return Some(format!("no mapping of {}", node.op_type));
        }
    }
    if let [node] = &test.graph.node[..]
        && !map::computes(&node.op_type)
    {
        return Some(format!("{} computes nothing on a device", node.op_type));
    }
    test.foreign()
}

/// A panic is a failure of the device; what stops a test becomes a verdict.
fn guarded<T>(work: impl FnOnce() -> Result<T, Stop>) -> Result<T, (Verdict, String)> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(stop)) => Err(verdict_of(stop)),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err((Verdict::Fail, format!("a panic: {}", text.unwrap_or_default())))
        }
    }
}

fn verdict_of(stop: Stop) -> (Verdict, String) {
    match stop {
        Stop::NotCovered(reason) => (Verdict::NotCovered, reason),
        Stop::Unmapped(reason) => (Verdict::Unmapped, reason),
        Stop::Malformed(reason) => (Verdict::Fail, reason),
        Stop::Core(error) => match error.kind() {
            // The contract itself refuses the element type, on every device.
            ErrorKind::DType => (Verdict::NotCovered, error.to_string()),
            ErrorKind::Unsupported => (Verdict::Unsupported, error.to_string()),
            ErrorKind::Shape | ErrorKind::Invalid => (Verdict::Unmapped, error.to_string()),
            _ => (Verdict::Fail, error.to_string()),
        },
    }
}

/// The outputs of the graph as tensors of `device`, in order.
fn compute(test: &Test, data: &DataSet, device: &Device) -> Result<Vec<Tensor>, Stop> {
    let mut values = HashMap::new();
    let upload = |value: &Value| device.tensor_from_bytes(value.dtype, &value.bytes, &value.shape);
    for tensor in &test.graph.initializer {
        values.insert(tensor.name.clone(), upload(&Value::from_proto(tensor)?)?);
    }
    for (info, value) in test.graph.input.iter().zip(&data.inputs) {
        values.insert(info.name.clone(), upload(value)?);
    }
    for node in &test.graph.node {
        let mapping = map::find(&node.domain, &node.op_type)
            .ok_or_else(|| Stop::NotCovered(format!("no mapping of {}", node.op_type)))?;
        let outputs = mapping(&Call::new(device, test.opset, node, &values)?)?;
        for (i, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let output = outputs.get(i);
            let output = output.ok_or_else(|| Stop::Unmapped(format!("{}: output {i} is not mapped", node.op_type)))?;
            values.insert(name.clone(), output.clone());
        }
    }
    let find = |name: &String| {
        values.get(name).cloned().ok_or_else(|| Stop::Malformed(format!("nothing computes the output '{name}'")))
    };
    test.graph.output.iter().map(|info| find(&info.name)).collect()
}

fn read(tensor: &Tensor) -> Result<Value, Stop> {
    let bytes = tensor.read().wait()?;
    Ok(Value { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), bytes })
}

fn execute(test: &Test, data: &DataSet, device: &Device) -> Result<Vec<Value>, Stop> {
    compute(test, data, device)?.iter().map(read).collect()
}

/// All data sets on an oracle, with what it knows about each element.
fn on_oracle(test: &Test, backend: OracleBackend) -> Result<Vec<Vec<OracleOutput>>, Stop> {
    let backend = Arc::new(backend);
    let device = Device::new(backend.clone() as Arc<dyn Backend>);
    let one = |tensor: &Tensor| Ok::<_, Stop>(OracleOutput { value: read(tensor)?, estimates: backend.last_read() });
    test.data.iter().map(|data| compute(test, data, &device)?.iter().map(one).collect()).collect()
}

/// Whether a device's outputs deviate from the oracle's by no more than twice what the oracle's own
/// results spread when every inexact step is off by its bound, up or down.
fn allowed(test: &Test, outputs: &[Vec<Value>], oracle: &[Vec<OracleOutput>]) -> bool {
    let trials: Result<Vec<_>, _> =
        (1..=TRIALS).map(|seed| guarded(|| on_oracle(test, OracleBackend::perturbed(seed)))).collect();
    let Ok(trials) = trials else { return false };
    outputs.iter().enumerate().all(|(set, outputs)| {
        outputs.iter().enumerate().all(|(i, output)| {
            let trials: Vec<&Value> = trials.iter().map(|t| &t[set][i].value).collect();
            compare::within_spread(output, &oracle[set][i].value, &trials)
        })
    })
}

/// The first output that is not the official one, in words.
fn disagreement(data: &DataSet, outputs: &[&Value]) -> Option<String> {
    data.outputs.iter().zip(outputs).enumerate().find_map(|(i, (wanted, output))| {
        if wanted.shape != output.shape || wanted.dtype != output.dtype {
            let ([a, b], [s, t]) = ([wanted.dtype, output.dtype], [&wanted.shape, &output.shape]);
            return Some(format!("output {i}: official {a}{s:?}, computed {b}{t:?}"));
        }
        match compare::official(wanted, &output.bytes) {
            Ok(difference) => difference.map(|d| format!("output {i}: {d}")),
            Err(e) => Some(format!("output {i}: {e}")),
        }
    })
}

/// A device's outputs against the official ones, then against the oracle's bounds.
fn judge(
    test: &Test,
    outputs: &[Vec<Value>],
    oracle: Option<&Vec<Vec<OracleOutput>>>,
) -> (Verdict, String, Option<f64>) {
    let mut over = Vec::new();
    let mut ratio: Option<f64> = None;
    let differences: Vec<String> = test
        .data
        .iter()
        .zip(outputs)
        .filter_map(|(data, outputs)| disagreement(data, &outputs.iter().collect::<Vec<_>>()))
        .collect();
    let pairs = outputs.iter().zip(oracle.into_iter().flatten()).flat_map(|(outputs, o)| outputs.iter().zip(o));
    for (output, oracle) in pairs {
        let Some(expected) = oracle.expected().filter(|_| output.shape == oracle.value.shape) else { continue };
        match compare::bounded(&expected, &oracle.value, &output.bytes) {
            Ok((worst, problem)) => {
                ratio = Some(ratio.unwrap_or(0.0).max(worst));
                over.extend(problem);
            }
            Err(e) => over.push(e.to_string()),
        }
    }
    // Where the oracle itself is not the official result, no spread around it excuses a device.
    let agrees = |oracle: &[Vec<OracleOutput>]| {
        let values = |set: &Vec<OracleOutput>| set.iter().map(|o| o.value.clone()).collect::<Vec<_>>();
        let sets: Vec<Vec<Value>> = oracle.iter().map(values).collect();
        test.data.iter().zip(&sets).all(|(data, set)| disagreement(data, &set.iter().collect::<Vec<_>>()).is_none())
    };
    let loose = |oracle: &Vec<Vec<OracleOutput>>| over.is_empty() && agrees(oracle) && allowed(test, outputs, oracle);
    let verdict = match () {
        () if differences.is_empty() && over.is_empty() => Verdict::Pass,
        () if oracle.is_some_and(loose) => Verdict::Loose,
        () => Verdict::Fail,
    };
    (verdict, [differences, over].concat().join("; "), ratio)
}
