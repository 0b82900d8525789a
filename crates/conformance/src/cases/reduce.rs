//! Reductions and the index of the largest or smallest element: each axis, long lines, ties, sums
//! that cancel, integers that wrap.

use unisono_core::op::{ArgOp, ArgReduce, Op, Reduce, ReduceOp};
use unisono_core::{DType, Result};

use super::nan::is_decided;
use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const CANCEL: DataClass = DataClass::Adversarial("cancel");
const TIES: DataClass = DataClass::Adversarial("ties");
const EQUAL: DataClass = DataClass::Adversarial("equal");
const NEGATIVE: DataClass = DataClass::Adversarial("negative");
const SIGNS: DataClass = DataClass::Adversarial("signs");
const NEAR_ONE: DataClass = DataClass::Adversarial("near_one");
const RARE: DataClass = DataClass::Adversarial("rare");

/// What is found along an axis.
#[derive(Clone, Copy, PartialEq)]
enum Find {
    Value(ReduceOp),
    Index(ArgOp),
}

impl Find {
    fn op(self, axis: usize) -> Op {
        match self {
            Find::Value(op) => Op::Reduce(Reduce { op, axis }),
            Find::Index(op) => Op::ArgReduce(ArgReduce { op, axis }),
        }
    }

    /// The type of the result where the input has this one.
    fn result(self, x: DType) -> DType {
        if matches!(self, Find::Index(_)) { DType::U32 } else { x }
    }

    /// Whether an empty axis has a result.
    fn of_nothing(self) -> bool {
        matches!(self, Find::Value(ReduceOp::Sum | ReduceOp::Prod))
    }
}

struct Row<'a> {
    find: Find,
    shape: &'a [usize],
    axis: usize,
    types: [DType; 2],
    layouts: [Layout; 2],
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [tx, ty] = row.types;
    let is_value = matches!(row.find, Find::Value(_));
    let ty = if is_value { ty } else { DType::U32 };
    let fill = match row.data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide if tx == DType::F16 => Fill::Wide { min_exp: -10, max_exp: 5 },
        DataClass::Wide => Fill::Wide { min_exp: -30, max_exp: 30 },
        DataClass::Bits => Fill::Bits { start: 0x9E37_79B9, step: 0x85EB_CA6B },
        CANCEL => Fill::Cancel { axis: row.axis, scale: 1000.0 },
        TIES => Fill::Integers { max: 1 },
        EQUAL => Fill::constant(-3.5),
        NEGATIVE => Fill::Normal { mean: -1000.0, scale: 10.0 },
        SIGNS => Fill::Cycle(vec![-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0]),
        NEAR_ONE => Fill::Uniform { low: 0.9, high: 1.1 },
        RARE => Fill::Cycle((0..37).map(|i| f64::from(u8::from((i == 36) != (row.find == ALL)))).collect()),
        _ => Fill::NORMAL,
    };
    let [lx, ly] = row.layouts;
    let params = format!(
        "dtype={},shape={},axis={},layout={}_{}",
        types(&[tx, ty][..1 + usize::from(is_value)]),
        dims(row.shape),
        row.axis,
        lx.name(),
        ly.name()
    );
    let mut reduced = row.shape.to_vec();
    reduced[row.axis] = 1;
    Draft::new(row.find.op(row.axis), "axis", params, row.data)
        .input(lx.desc(tx, row.shape)?, fill)
        .output(ly.desc(ty, &reduced)?)
        .quick_if(row.quick)
        .add(sink)
}

/// "All": true unless something is not.
const ALL: Find = Find::Value(ReduceOp::Min);

const LAYOUTS: [[Layout; 2]; 6] = [
    [Layout::Plain, Layout::Plain],
    [Layout::Gap(3), Layout::Plain],
    [Layout::Transposed, Layout::Gap(1)],
    [Layout::Plain, Layout::Reversed],
    [Layout::Skip, Layout::Plain],
    [Layout::SharedRow, Layout::Plain],
];

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let finds = [
        Find::Value(ReduceOp::Sum),
        Find::Value(ReduceOp::Mean),
        Find::Value(ReduceOp::Max),
        Find::Index(ArgOp::Max),
        ALL,
        Find::Value(ReduceOp::Prod),
        Find::Index(ArgOp::Min),
    ];
    for (k, find) in finds.into_iter().enumerate() {
        floats(sink, k, find)?;
    }
    integers(sink)?;
    long(sink)
}

fn floats(sink: Sink<'_>, k: usize, find: Find) -> Result<()> {
    let shapes: [&[usize]; 19] = [
        &[1],
        &[2],
        &[31],
        &[257],
        &[1000],
        &[4097],
        &[3, 33],
        &[33, 3],
        &[64, 65],
        &[7, 128],
        &[5, 1],
        &[129, 127],
        &[2, 3, 5],
        &[3, 64, 17],
        &[2, 3, 4, 33],
        &[3, 1023],
        &[0, 4],
        &[2, 8193],
        &[1, 32001],
    ];
    // The mirror images of the first four differ in a comparison: fewer cases see that.
    let mirrored = k >= 4;
    let data = match find {
        Find::Value(ReduceOp::Sum | ReduceOp::Mean) => {
            [DataClass::Exact, DataClass::Normal, CANCEL, DataClass::Wide, NEGATIVE]
        }
        Find::Value(ReduceOp::Prod) => [SIGNS, NEAR_ONE, SIGNS, NEAR_ONE, SIGNS],
        _ => [TIES, NEGATIVE, DataClass::Normal, EQUAL, DataClass::Wide],
    };
    for (i, shape) in shapes.into_iter().enumerate() {
        for axis in 0..shape.len() {
            // Nothing is the largest of nothing.
            let wanted = if shape[axis] == 0 && !find.of_nothing() { shape.len() - 1 } else { axis };
            if wanted != axis {
                continue;
            }
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + axis + t + k;
                let types = if turn % 4 == 1 { [dtype, DType::F32] } else { [dtype; 2] };
                let turns = t == (i + axis) % 3;
                let quick = turns && if mirrored { matches!(i, 3 | 7 | 12) } else { (i + axis + k).is_multiple_of(2) };
                let layouts = pick(&LAYOUTS, turn);
                let data = pick(&data, turn + t);
                if turns || !mirrored {
                    add(sink, &Row { find, shape, axis, types, layouts, data, quick })?;
                }
            }
        }
    }
    for (t, dtype) in FLOATS.into_iter().enumerate().take(if mirrored { 1 } else { 3 }) {
        let base = Row {
            find,
            shape: &[70000, 3],
            axis: 1,
            types: [dtype; 2],
            layouts: LAYOUTS[0],
            data: data[0],
            quick: false,
        };
        // More rows than workgroups in one dimension of a grid; once, because it takes seconds.
        if t == 0 {
            add(sink, &base)?;
        }
        add(sink, &Row { axis: 0, types: [dtype, DType::F32], ..base })?;
        add(sink, &Row { shape: &[1, 128_256], data: pick(&data, 2 * t), types: [dtype, DType::F32], ..base })?;
        if is_decided(&find.op(1)) {
            continue;
        }
        let special = vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0];
        let informative = DataClass::Adversarial("nonfinite");
        Draft::new(find.op(1), "special", format!("dtype={dtype}"), informative)
            .input(Layout::Plain.desc(dtype, &[3, 7])?, Fill::Cycle(special))
            .output(Layout::Plain.desc(find.result(dtype), &[3, 1])?)
            .informative()
            .add(sink)?;
    }
    Ok(())
}

/// Sums and products modulo 2³², comparisons with and without a sign, any and all.
fn integers(sink: Sink<'_>) -> Result<()> {
    let finds = [
        (Find::Value(ReduceOp::Sum), DType::I32),
        (Find::Value(ReduceOp::Prod), DType::U32),
        (Find::Value(ReduceOp::Max), DType::I32),
        (ALL, DType::U32),
        (Find::Value(ReduceOp::Max), DType::Bool),
        (ALL, DType::Bool),
        (Find::Index(ArgOp::Max), DType::I32),
        (Find::Index(ArgOp::Min), DType::U32),
        (Find::Value(ReduceOp::Sum), DType::U32),
        (Find::Value(ReduceOp::Prod), DType::I32),
        (Find::Value(ReduceOp::Max), DType::U32),
        (ALL, DType::I32),
        (Find::Index(ArgOp::Min), DType::I32),
    ];
    let shapes: [(&[usize], usize); 8] = [
        (&[3, 33], 1),
        (&[33, 3], 0),
        (&[2, 3, 5], 1),
        (&[257], 0),
        (&[5, 1], 1),
        (&[2, 8193], 1),
        (&[3, 1025, 2], 1),
        (&[0, 4], 1),
    ];
    for (k, (find, dtype)) in finds.into_iter().enumerate() {
        for (i, (shape, axis)) in shapes.into_iter().enumerate() {
            let data = match (dtype, find) {
                (DType::Bool, _) => RARE,
                (_, Find::Index(_)) if i.is_multiple_of(2) => TIES,
                _ => DataClass::Bits,
            };
            let layouts = pick(&LAYOUTS[..5], i + k);
            let quick = i == k % 4 && k < 8;
            add(sink, &Row { find, shape, axis, types: [dtype, find.result(dtype)], layouts, data, quick })?;
        }
    }
    let nothing = Row {
        find: Find::Value(ReduceOp::Prod),
        shape: &[3, 0],
        axis: 1,
        types: [DType::I32; 2],
        layouts: LAYOUTS[0],
        data: DataClass::Bits,
        quick: false,
    };
    add(sink, &nothing)?;
    add(sink, &Row { find: Find::Value(ReduceOp::Sum), types: [DType::U32; 2], ..nothing })
}

/// Few lines and long ones: what is split over workgroups.
fn long(sink: Sink<'_>) -> Result<()> {
    let rows: [(Find, &[usize], usize, DType, DataClass); 15] = [
        (Find::Value(ReduceOp::Sum), &[1, 65536], 1, DType::F32, DataClass::Exact),
        (Find::Value(ReduceOp::Sum), &[2, 1_000_003], 1, DType::F32, DataClass::Exact),
        (Find::Value(ReduceOp::Mean), &[3, 200_001], 1, DType::F16, DataClass::Normal),
        (Find::Value(ReduceOp::Max), &[2, 1_000_003], 1, DType::F32, NEGATIVE),
        (ALL, &[1, 128_257], 1, DType::BF16, DataClass::Wide),
        (Find::Value(ReduceOp::Prod), &[1, 65537], 1, DType::F32, SIGNS),
        (Find::Index(ArgOp::Max), &[2, 128_256], 1, DType::F32, TIES),
        (Find::Index(ArgOp::Max), &[1, 1_000_003], 1, DType::F32, EQUAL),
        (Find::Index(ArgOp::Min), &[3, 128_256], 1, DType::F16, TIES),
        (Find::Index(ArgOp::Max), &[128_256, 2], 0, DType::F32, TIES),
        (Find::Value(ReduceOp::Sum), &[100_003, 2], 0, DType::F32, DataClass::Exact),
        (Find::Value(ReduceOp::Sum), &[2, 100_003], 1, DType::I32, DataClass::Bits),
        (Find::Value(ReduceOp::Sum), &[1, 12_000_001], 1, DType::I32, DataClass::Bits),
        (Find::Value(ReduceOp::Max), &[1, 100_003], 1, DType::Bool, RARE),
        (Find::Index(ArgOp::Max), &[1, 100_003], 1, DType::I32, DataClass::Bits),
    ];
    for (find, shape, axis, dtype, data) in rows {
        let types = [dtype, find.result(dtype)];
        add(sink, &Row { find, shape, axis, types, layouts: LAYOUTS[0], data, quick: false })?;
    }
    Ok(())
}
