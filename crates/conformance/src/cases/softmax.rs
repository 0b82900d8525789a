//! Softmax: row lengths around every block size, masks, limits, hot and hidden rows.

use unisono_core::op::{Op, Softmax};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

/// What masks a row.
#[derive(Clone, Copy, PartialEq)]
enum Hide {
    Nothing,
    Mask,
    Limits,
    Both,
    All,
}

impl Hide {
    const LIST: [Hide; 5] = [Hide::Nothing, Hide::Mask, Hide::Limits, Hide::Both, Hide::All];

    fn name(self) -> &'static str {
        match self {
            Hide::Nothing => "nothing",
            Hide::Mask => "mask",
            Hide::Limits => "limits",
            Hide::Both => "both",
            Hide::All => "all",
        }
    }
}

fn add(
    sink: Sink<'_>,
    shape: &[usize],
    types_xy: [DType; 2],
    hide: Hide,
    layout: Layout,
    data: DataClass,
    quick: bool,
) -> Result<()> {
    let [tx, ty] = types_xy;
    let n = shape.last().copied().unwrap_or(1) as f64;
    let mask = matches!(hide, Hide::Mask | Hide::Both | Hide::All);
    let limits = matches!(hide, Hide::Limits | Hide::Both);
    let scale = match data {
        DataClass::Exact => 1.0,
        DataClass::Wide => -0.5,
        _ => 0.125,
    };
    let x = match data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::normal(100.0),
        DataClass::Adversarial("hot") => Fill::Hot { hot: 6e4 },
        DataClass::Adversarial("equal") => Fill::constant(1234.5),
        _ => Fill::normal(8.0),
    };
    let params =
        format!("dtype={},shape={},hide={},layout={}", types(&types_xy), dims(shape), hide.name(), layout.name());
    let op = Softmax { scale: scale.into(), mask, limits };
    let mut draft = Draft::new(Op::Softmax(op), "rows", params, data).input(layout.desc(tx, shape)?, x);
    if mask {
        let fill = if hide == Hide::All { Fill::constant(f64::NEG_INFINITY) } else { Fill::RandomMask };
        let place = if shape.len() > 2 { Layout::SharedBatch } else { Layout::Plain };
        draft = draft.input(place.desc(if tx == DType::BF16 { DType::F32 } else { tx }, shape)?, fill);
    }
    if limits {
        let values = vec![n, 1.0, (n / 2.0).ceil(), 0.0, n + 7.0, (n - 1.0).max(0.0)];
        draft = draft.input(Layout::Plain.desc(DType::U32, &shape[..shape.len() - 1])?, Fill::Cycle(values));
    }
    draft.output(layout.desc(ty, shape)?).quick_if(quick).add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let lengths = [1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 1000, 1023, 1025, 2049, 4096];
    let data = [
        DataClass::Normal,
        DataClass::Adversarial("hot"),
        DataClass::Wide,
        DataClass::Exact,
        DataClass::Adversarial("equal"),
    ];
    let layouts = [Layout::Plain, Layout::Gap(3), Layout::Plain, Layout::Transposed, Layout::Skip];
    for (i, n) in lengths.into_iter().enumerate() {
        for (h, hide) in Hide::LIST.into_iter().enumerate() {
            let dtype = pick(&FLOATS, i + h);
            let types = if (i + h) % 7 == 3 { [dtype, DType::F32] } else { [dtype; 2] };
            add(sink, &[7, n], types, hide, pick(&layouts, i + 2 * h), pick(&data, i + h), (i + h) % 3 == 0)?;
            let dtype = pick(&FLOATS, i + h + 1);
            add(sink, &[3, n], [dtype; 2], hide, Layout::Plain, pick(&data, i + h + 1), false)?;
        }
    }
    for (i, shape) in
        [&[5usize][..], &[0], &[3, 0], &[0, 3], &[2, 3, 5], &[2, 3, 4, 33], &[1, 2, 1, 3, 17]].into_iter().enumerate()
    {
        for (h, hide) in Hide::LIST.into_iter().enumerate() {
            let dtype = pick(&FLOATS, i + h);
            let layout = pick(&[Layout::Plain, Layout::Reversed], i + h);
            add(sink, shape, [dtype; 2], hide, layout, DataClass::Normal, h == i % 4 || h == 0)?;
        }
    }
    // More rows than workgroups in one dimension of a grid.
    add(sink, &[66000, 3], [DType::F32; 2], Hide::Limits, Layout::Plain, DataClass::Normal, false)?;
    for (i, dtype) in FLOATS.into_iter().enumerate() {
        add(sink, &[2, 32000], [dtype; 2], Hide::Nothing, Layout::Plain, pick(&data, i), false)?;
        add(sink, &[3, 16385], [dtype; 2], Hide::Limits, Layout::Plain, pick(&data, i), false)?;
    }
    Ok(())
}
