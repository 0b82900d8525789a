//! Softmax and log_softmax: row lengths around every block size, masks, limits, windows, sinks, hot
//! and hidden rows.

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
    let op = Softmax { mask, limits, ..Softmax::new(scale) };
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

/// What goes around the softmax of a row.
#[derive(Clone, Copy)]
struct Around {
    shape: [usize; 2],
    types: [DType; 2],
    mask: Option<&'static str>,
    limits: bool,
    window: Option<u32>,
    sinks: Option<f64>,
    log: bool,
    layout: Layout,
    data: DataClass,
    quick: bool,
}

fn add_around(sink: Sink<'_>, row: Around) -> Result<()> {
    let Around { shape, types: types_xy, mask, limits, window, sinks, log, layout, data, quick } = row;
    let [tx, ty] = types_xy;
    let n = shape[1] as f64;
    let x = match data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::normal(100.0),
        DataClass::Adversarial("hot") => Fill::Hot { hot: 6e4 },
        DataClass::Adversarial("equal") => Fill::constant(1234.5),
        _ => Fill::normal(4.0),
    };
    let text = |x: Option<String>| x.unwrap_or_else(|| "none".into());
    let params = format!(
        "dtype={},shape={},mask={},limits={limits},window={},sinks={},layout={}",
        types(&types_xy),
        dims(&shape),
        mask.unwrap_or("none"),
        text(window.map(|w| w.to_string())),
        text(sinks.map(|s| s.to_string())),
        layout.name()
    );
    let op = Softmax { mask: mask.is_some(), limits, window, sinks: sinks.is_some(), log, ..Softmax::new(0.5) };
    let mut draft = Draft::new(Op::Softmax(op), "around", params, data).input(layout.desc(tx, &shape)?, x);
    if let Some(mask) = mask {
        let dtype = if mask == "bool" { DType::Bool } else { tx };
        draft = draft.input(Layout::Plain.desc(dtype, &shape)?, Fill::RandomMask);
    }
    if limits {
        let values = vec![n, 1.0, (n / 2.0).ceil(), 0.0, n + 7.0, (n - 1.0).max(0.0)];
        draft = draft.input(Layout::Plain.desc(DType::U32, &shape[..1])?, Fill::Cycle(values));
    }
    if let Some(size) = sinks {
        // One sink for all rows, or one for each.
        let place = if shape[0].is_multiple_of(2) { Layout::Scalar } else { Layout::Plain };
        draft = draft.input(place.desc(tx, &shape[..1])?, Fill::Cycle(vec![size, -size, 0.25, 0.5 * size]));
    }
    draft.output(layout.desc(ty, &shape)?).quick_if(quick).add(sink)
}

fn around(sink: Sink<'_>) -> Result<()> {
    let lengths = [1, 5, 64, 65, 255, 256, 257, 700, 2048, 2049, 5000];
    let masks = [None, Some("bool"), None, Some("random"), None];
    let windows = [None, Some(1), Some(100), None, Some(7), None, Some(u32::MAX)];
    let sinks = [Some(2.0), None, None, Some(1e4), None, Some(-1e4)];
    let layouts = [Layout::Plain, Layout::Gap(3), Layout::Plain, Layout::Transposed];
    let data = [
        DataClass::Normal,
        DataClass::Adversarial("hot"),
        DataClass::Exact,
        DataClass::Wide,
        DataClass::Adversarial("equal"),
    ];
    for (i, n) in lengths.into_iter().enumerate() {
        for (l, log) in [false, true, true].into_iter().enumerate() {
            for j in 0..2 {
                let turn = 6 * i + 2 * l + j;
                let dtype = pick(&FLOATS, i + l + j);
                let plain = log && turn % 5 == 2;
                let row = Around {
                    shape: [pick(&[7, 6, 3], turn), n],
                    types: if turn % 7 == 4 { [dtype, DType::F32] } else { [dtype; 2] },
                    mask: pick(&masks, turn).filter(|_| !plain),
                    limits: turn % 2 == 1 && !plain,
                    window: pick(&windows, turn).filter(|_| !plain),
                    sinks: pick(&sinks, turn).filter(|_| !plain),
                    log,
                    layout: pick(&layouts, turn),
                    data: pick(&data, turn),
                    quick: n < 1000 && (turn % 3 == 0 || plain),
                };
                add_around(sink, row)?;
            }
        }
    }
    let long = Around {
        shape: [3000, 3],
        types: [DType::F32; 2],
        mask: None,
        limits: true,
        window: None,
        sinks: Some(1.0),
        log: true,
        layout: Layout::Plain,
        data: DataClass::Normal,
        quick: false,
    };
    add_around(sink, long)?;
    add_around(sink, Around { shape: [2, 32000], types: [DType::F16, DType::F32], ..long })?;
    add_around(sink, Around { shape: [0, 5], ..long })?;
    add_around(sink, Around { shape: [5, 0], ..long })
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
    around(sink)
}
