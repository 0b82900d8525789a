//! Reductions, indices of largest elements and running sums. A row is one workgroup's work
//! (`reduce_row`, `arg_row`) or one invocation's (`reduce_column`); where rows are few and long, a
//! first launch reduces parts of them and a second one joins the parts (`reduce_split`, `arg_split`).

use unisono_core::op::{ArgOp, ArgReduce, CumSum, Reduce, ReduceOp};
use unisono_core::{DType, OpDesc, Reason, TensorDesc};

use super::builder::{Builder, code};
use super::rows::{GROUP, Operand, Rows, outside, row_operand, strides, with_subgroups};
use super::window::{View, windows};
use crate::caps::Caps;

/// The least elements of a part.
const LEAST_PART: u64 = 512;
/// The most parts of a row.
const MOST_PARTS: u64 = 256;
/// The most parts of all rows: what they leave is a few MiB at most.
const MOST_RESULTS: u64 = 1 << 18;

/// Whether rows are so few and so long that the profile splits them.
fn splits(desc: &OpDesc, axis: usize, caps: &Caps) -> bool {
    let rows = desc.outputs[0].elements();
    rows < caps.profile.reduce_workgroups && desc.inputs[0].shape[axis] >= caps.profile.reduce_split_from
}

pub(super) fn reduce_names(desc: &OpDesc, axis: usize, caps: &Caps) -> Vec<&'static str> {
    let x = &desc.inputs[0];
    if !x.dtype.is_float() {
        return vec!["reduce_integers"];
    }
    let rows = desc.outputs[0].elements() as u64;
    let mut names = with_subgroups("reduce_row", "reduce_row_subgroups", caps);
    let short = x.shape[axis] < 32;
    let across = x.strides[axis] != 1 && rows >= GROUP;
    let at = if short || across { 0 } else { names.len() };
    names.insert(at, "reduce_column");
    names.insert(if splits(desc, axis, caps) { 0 } else { names.len() }, "reduce_split");
    names
}

pub(super) fn arg_names(desc: &OpDesc, axis: usize, caps: &Caps) -> Vec<&'static str> {
    if splits(desc, axis, caps) { vec!["arg_split", "arg_row"] } else { vec!["arg_row", "arg_split"] }
}

pub(super) fn cumsum_names(desc: &OpDesc, axis: usize) -> Vec<&'static str> {
    let x = &desc.inputs[0];
    if !x.dtype.is_float() {
        return vec!["cumsum_integers"];
    }
    let rows = (x.elements() / x.shape[axis].max(1)) as u64;
    let across = x.shape[axis] < 32 || x.strides[axis] != 1 && rows >= GROUP;
    if across { vec!["cumsum_column", "cumsum_row"] } else { vec!["cumsum_row", "cumsum_column"] }
}

fn lines<'a>(b: &Builder<'_>, kernel: &'a str, axis: usize, y: Operand) -> Rows<'a> {
    let x = &b.input(0).desc;
    let n = x.shape[axis] as u64;
    let source = (n > 0).then(|| row_operand(b.input_view(0), x, axis, n));
    Rows {
        kernel,
        constants: vec![("Y", code(y.view.dtype)), ("A", code(x.dtype))],
        value: 0.0,
        sizes: outside(x, axis),
        n,
        operands: vec![Some(y), source],
        z: None,
        extra: [0; 2],
        rows_per_group: if kernel.ends_with("column") { GROUP } else { 1 },
    }
}

/// One result for each row.
fn results(b: &Builder<'_>, axis: usize) -> Operand {
    Operand { view: b.output_view(0).with(strides(&b.output(0).desc, axis), 1), along: 0 }
}

pub(super) fn reduce(b: &mut Builder<'_>, name: &str, op: &Reduce) -> Result<(), Reason> {
    let operation = match op.op {
        ReduceOp::Sum => 0.0,
        ReduceOp::Mean => 1.0,
        ReduceOp::Max => 2.0,
        ReduceOp::Min => 3.0,
        ReduceOp::Prod => 4.0,
        _ => return Err(Reason::Op(format!("there is no kernel for {}", op.op.name()))),
    };
    let dtype = b.input(0).desc.dtype;
    let y = results(b, op.axis);
    if name == "reduce_split" {
        // A mean is a sum until the parts are joined.
        let partial = if op.op == ReduceOp::Mean { 0.0 } else { operation };
        return split(
            b,
            op.axis,
            &y,
            &Split {
                first: "reduce_split",
                second: "reduce_row",
                words: 1,
                constants: vec![("OP", partial)],
                joined: vec![("OP", operation)],
            },
        );
    }
    let mut rows = lines(b, name, op.axis, y);
    rows.constants.extend([("OP", operation), ("SIGNED", f64::from(u8::from(dtype == DType::I32)))]);
    rows.extra[0] = rows.n as u32;
    rows.launch(b)
}

pub(super) fn arg_reduce(b: &mut Builder<'_>, name: &str, op: &ArgReduce) -> Result<(), Reason> {
    let keys = keys(&b.input(0).desc, op.op == ArgOp::Max);
    let y = results(b, op.axis);
    if name == "arg_split" {
        let (first, second) = ("arg_split", "arg_join");
        return split(b, op.axis, &y, &Split { first, second, words: 2, constants: keys.to_vec(), joined: vec![] });
    }
    let mut rows = lines(b, name, op.axis, y);
    rows.constants.extend(keys);
    rows.launch(b)
}

/// The constants of `shared/key.wesl`.
pub(super) fn keys(x: &TensorDesc, largest: bool) -> [(&'static str, f64); 2] {
    let kind = match x.dtype {
        DType::I32 => 1.0,
        DType::U32 => 2.0,
        _ => 0.0,
    };
    [("KEY", kind), ("LARGEST", f64::from(u8::from(largest)))]
}

pub(super) fn cumsum(b: &mut Builder<'_>, name: &str, op: &CumSum) -> Result<(), Reason> {
    let y = &b.output(0).desc;
    let to = row_operand(b.output_view(0), y, op.axis, y.shape[op.axis] as u64);
    let mut rows = lines(b, name, op.axis, to);
    rows.extra = [u32::from(op.exclusive), u32::from(op.reverse)];
    rows.launch(b)
}

/// A reduction in two launches.
struct Split {
    first: &'static str,
    second: &'static str,
    /// Words that a part leaves.
    words: u64,
    constants: Vec<(&'static str, f64)>,
    joined: Vec<(&'static str, f64)>,
}

fn split(b: &mut Builder<'_>, axis: usize, y: &Operand, how: &Split) -> Result<(), Reason> {
    let n = b.input(0).desc.shape[axis] as u64;
    let sizes = outside(&b.input(0).desc, axis);
    let rows: u64 = sizes.iter().product();
    if n < 2 * LEAST_PART {
        return Err(Reason::Limit(format!("rows of {n} elements are not split")));
    }
    let wanted = (b.caps.profile.reduce_workgroups as u64)
        .div_ceil(rows)
        .clamp(2, MOST_PARTS)
        .max(n.div_ceil(b.caps.loop_rounds / 2 * GROUP));
    let part = n.div_ceil(wanted).max(LEAST_PART);
    let parts = n.div_ceil(part);
    if rows * parts > MOST_RESULTS {
        return Err(Reason::Limit(format!("{rows} rows are too many to be split")));
    }
    let part = part as u32;
    let x = row_operand(b.input_view(0), &b.input(0).desc, axis, n);
    let mut scratch = None;
    for piece in windows(&sizes, &[&x.view, &y.view], b.caps)? {
        let source = match scratch {
            Some(source) => source,
            None => *scratch.insert(b.scratch(rows * parts * how.words * 4)?),
        };
        // Rows of the piece one after the other, each with its parts.
        let mut steps = vec![0; sizes.len()];
        let mut step = parts * how.words;
        for (i, size) in piece.sizes.iter().enumerate().rev() {
            steps[i] = step;
            step *= size;
        }
        let between = |inner| View { source, dtype: DType::F32, start: 0, strides: steps.clone(), inner };
        let moved = |o: &Operand| Operand { view: o.view.at(&piece), along: o.along };
        let whole = parts * how.words;
        let mut first = lines(b, how.first, axis, Operand { view: between(whole), along: 0 });
        first.operands[1] = Some(moved(&x));
        first.sizes.clone_from(&piece.sizes);
        first.constants.extend(how.constants.iter().copied());
        first.extra[1] = part;
        first.launch_parts(b, parts)?;
        let second = Rows {
            kernel: how.second,
            constants: [("Y", code(y.view.dtype)), ("A", 0.0)].into_iter().chain(how.joined.iter().copied()).collect(),
            value: 0.0,
            sizes: piece.sizes.clone(),
            n: parts,
            operands: vec![Some(moved(y)), Some(Operand { view: between(whole), along: 1 })],
            z: None,
            extra: [n as u32, 0],
            rows_per_group: 1,
        };
        second.launch(b)?;
    }
    Ok(())
}
