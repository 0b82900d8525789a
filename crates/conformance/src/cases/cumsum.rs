//! Running sums: each axis, both directions, with and without the element itself.

use unisono_core::op::{CumSum, Op};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const CANCEL: DataClass = DataClass::Adversarial("cancel");

struct Row<'a> {
    shape: &'a [usize],
    op: CumSum,
    types: [DType; 2],
    layouts: [Layout; 2],
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let fill = match row.data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::Wide { min_exp: -10, max_exp: 5 },
        DataClass::Bits => Fill::Bits { start: 0x9E37_79B9, step: 0x85EB_CA6B },
        CANCEL => Fill::Cancel { axis: row.op.axis, scale: 1000.0 },
        _ => Fill::NORMAL,
    };
    let CumSum { axis, exclusive, reverse } = row.op;
    let kind = match (exclusive, reverse) {
        (false, false) => "forward",
        (true, false) => "exclusive",
        (false, true) => "reverse",
        (true, true) => "exclusive_reverse",
    };
    let ([x, y], [tx, ty]) = (row.layouts, row.types);
    let layout = format!("{}_{}", x.name(), y.name());
    let params =
        format!("dtype={},shape={},axis={axis},kind={kind},layout={layout}", types(&row.types), dims(row.shape));
    Draft::new(Op::CumSum(row.op), "axis", params, row.data)
        .input(x.desc(tx, row.shape)?, fill)
        .output(y.desc(ty, row.shape)?)
        .quick_if(row.quick)
        .add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 18] = [
        &[1],
        &[2],
        &[33],
        &[255],
        &[256],
        &[257],
        &[1025],
        &[3, 31],
        &[31, 3],
        &[5, 1],
        &[64, 65],
        &[2, 3, 5],
        &[3, 700, 2],
        &[2, 3, 4, 9],
        &[0, 4],
        &[3, 0],
        &[3, 4097],
        &[1, 10_007],
    ];
    let layouts = [
        [Layout::Plain, Layout::Plain],
        [Layout::Gap(3), Layout::Plain],
        [Layout::Plain, Layout::Gap(1)],
        [Layout::Transposed, Layout::Plain],
        [Layout::Skip, Layout::Reversed],
        [Layout::SharedRow, Layout::Plain],
    ];
    let data = [DataClass::Exact, DataClass::Normal, CANCEL, DataClass::Wide];
    for (i, shape) in shapes.into_iter().enumerate() {
        for axis in 0..shape.len() {
            for (kind, (exclusive, reverse)) in
                [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
            {
                let turn = i + axis + kind;
                let dtype = pick(&FLOATS, turn);
                let types = if turn % 4 == 1 { [dtype, DType::F32] } else { [dtype; 2] };
                let quick = kind == (i + axis) % 4 && matches!(i, 2 | 5 | 7 | 8 | 11);
                let op = CumSum { axis, exclusive, reverse };
                let layouts = pick(&layouts, turn);
                add(sink, &Row { shape, op, types, layouts, data: pick(&data, turn / 3 + kind), quick })?;
            }
        }
    }
    let rows: [(&[usize], usize, DType, DataClass); 11] = [
        (&[3, 33], 1, DType::I32, DataClass::Bits),
        (&[33, 3], 0, DType::U32, DataClass::Bits),
        (&[2, 1025], 1, DType::U32, DataClass::Bits),
        (&[2, 300, 3], 1, DType::I32, DataClass::Bits),
        (&[1, 65536], 1, DType::F32, DataClass::Exact),
        (&[2, 1_000_003], 1, DType::F32, DataClass::Exact),
        (&[100_003, 2], 0, DType::F32, DataClass::Exact),
        (&[70_000, 3], 1, DType::F16, DataClass::Exact),
        (&[1, 50_001], 1, DType::I32, DataClass::Bits),
        // Near what the loops of one invocation may visit.
        (&[1, 7_000_001], 1, DType::I32, DataClass::Bits),
        (&[60_000, 2], 0, DType::F16, DataClass::Exact),
    ];
    for (i, (shape, axis, dtype, data)) in rows.into_iter().enumerate() {
        let op = CumSum { axis, exclusive: i % 2 == 1, reverse: i % 4 > 1 };
        add(sink, &Row { shape, op, types: [dtype; 2], layouts: layouts[0], data, quick: i < 2 })?;
    }
    Ok(())
}
