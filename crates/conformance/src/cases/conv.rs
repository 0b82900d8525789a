//! Convolution: kernels of one element, strides over the kernel, padding at least as large as the
//! kernel, dilation, groups and depthwise.

use unisono_core::op::{Conv1d, Conv2d, Im2Col, Op};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

/// An image, a kernel and how they meet.
#[derive(Clone, Copy)]
struct Shape {
    /// Batch, channels, height, width.
    x: [usize; 4],
    out: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

const fn shape(x: [usize; 4], out: usize, kernel: [usize; 2]) -> Shape {
    Shape { x, out, kernel, stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
}

impl Shape {
    fn columns(&self) -> Im2Col {
        Im2Col { kernel: self.kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    fn params(&self) -> String {
        let pair = |[a, b]: [usize; 2]| format!("{a}x{b}");
        format!(
            "x={},kernel={},stride={},padding={},dilation={}",
            dims(&self.x),
            pair(self.kernel),
            pair(self.stride),
            pair(self.padding),
            pair(self.dilation)
        )
    }
}

fn shapes() -> Vec<Shape> {
    let s = shape;
    vec![
        s([1, 1, 1, 1], 1, [1, 1]),
        s([2, 3, 5, 7], 4, [3, 3]),
        Shape { padding: [1, 1], ..s([1, 3, 8, 9], 5, [3, 3]) },
        Shape { stride: [2, 3], ..s([2, 2, 9, 11], 3, [2, 2]) },
        Shape { stride: [3, 4], ..s([1, 2, 10, 13], 3, [1, 2]) },
        Shape { padding: [3, 2], ..s([1, 2, 4, 3], 3, [3, 2]) },
        Shape { padding: [2, 5], stride: [2, 1], ..s([1, 1, 3, 2], 2, [2, 3]) },
        Shape { dilation: [2, 3], ..s([1, 2, 9, 10], 3, [3, 2]) },
        Shape { dilation: [3, 1], padding: [2, 1], stride: [1, 2], ..s([2, 2, 8, 7], 3, [3, 3]) },
        s([2, 7, 6, 5], 9, [1, 1]),
        Shape { stride: [2, 2], ..s([1, 4, 7, 7], 6, [1, 1]) },
        Shape { groups: 2, ..s([2, 4, 5, 6], 6, [2, 3]) },
        Shape { groups: 6, padding: [1, 1], ..s([1, 6, 9, 8], 6, [3, 3]) },
        Shape { groups: 4, stride: [2, 1], ..s([1, 4, 6, 6], 12, [3, 2]) },
        Shape { stride: [4, 4], ..s([1, 3, 16, 20], 17, [4, 4]) },
        Shape { stride: [8, 8], ..s([2, 3, 32, 24], 33, [8, 8]) },
        s([1, 5, 4, 3], 2, [4, 3]),
        Shape { padding: [1, 1], ..s([0, 3, 4, 4], 2, [3, 3]) },
        Shape { padding: [1, 1], ..s([2, 3, 4, 4], 0, [3, 3]) },
        s([2, 0, 4, 4], 3, [3, 3]),
        Shape { padding: [1, 2], ..s([1, 2, 0, 3], 2, [2, 2]) },
        Shape { padding: [1, 1], ..s([1, 32, 17, 15], 24, [3, 3]) },
        Shape { padding: [2, 2], dilation: [2, 2], groups: 8, ..s([1, 16, 14, 13], 8, [3, 3]) },
        Shape { padding: [0, 3], ..s([3, 1, 1, 65], 2, [1, 7]) },
    ]
}

const LAYOUTS: [[Layout; 3]; 5] = [
    [Layout::Plain, Layout::Plain, Layout::Plain],
    [Layout::Gap(3), Layout::Plain, Layout::Gap(1)],
    [Layout::Transposed, Layout::Plain, Layout::Plain],
    [Layout::Reversed, Layout::Transposed, Layout::Plain],
    [Layout::Plain, Layout::Skip, Layout::Reversed],
];

fn fill(data: DataClass) -> Fill {
    match data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::Wide { min_exp: -8, max_exp: 5 },
        _ => Fill::NORMAL,
    }
}

fn element_types(turn: usize) -> [DType; 3] {
    let dtype = pick(&FLOATS, turn);
    match turn % 5 {
        1 => [DType::F32, dtype, DType::F32],
        3 => [dtype, dtype, DType::F32],
        _ => [dtype; 3],
    }
}

fn conv2d(sink: Sink<'_>, s: &Shape, turn: usize, data: DataClass, quick: bool) -> Result<()> {
    let Shape { x, out, kernel, stride, padding, dilation, groups } = *s;
    let bias = turn % 2 == 1;
    let op = Conv2d { stride, padding, dilation, groups, bias };
    let [oh, ow] = s.columns().windows([x[2], x[3]])?;
    let list = element_types(turn);
    let [tx, tw, ty] = list;
    let [lx, lw, ly] = pick(&LAYOUTS, turn);
    let more = format!("out={out},groups={groups},bias={bias},layout={}_{}_{}", lx.name(), lw.name(), ly.name());
    let params = format!("dtype={},{},{more}", types(&list), s.params());
    let weight = [out, x[1] / groups, kernel[0], kernel[1]];
    let draft = Draft::new(Op::Conv2d(op), "images", params, data)
        .input(lx.desc(tx, &x)?, fill(data))
        .input(lw.desc(tw, &weight)?, fill(data));
    let vector = if turn % 4 == 1 { Layout::Plain } else { Layout::Skip };
    let draft = if bias { draft.input(vector.desc(tw, &[out])?, fill(data)) } else { draft };
    draft.output(ly.desc(ty, &[x[0], out, oh, ow])?).quick_if(quick).add(sink)
}

/// The same along one dimension: the width of `s`.
fn conv1d(sink: Sink<'_>, s: &Shape, turn: usize, data: DataClass, quick: bool) -> Result<()> {
    let Shape { x, out, kernel, groups, .. } = *s;
    let bias = turn.is_multiple_of(2);
    let op = Conv1d { stride: s.stride[1], padding: s.padding[1], dilation: s.dilation[1], groups, bias };
    let [_, windows] = op.as_2d().columns([1, kernel[1]]).windows([1, x[3]])?;
    let list = element_types(turn);
    let [tx, tw, ty] = list;
    let [lx, lw, ly] = pick(&LAYOUTS, turn);
    let params = format!(
        "dtype={},x={},kernel={},stride={},padding={},dilation={},out={out},groups={groups},bias={bias},layout={}_{}_{}",
        types(&list),
        dims(&[x[0], x[1], x[3]]),
        kernel[1],
        op.stride,
        op.padding,
        op.dilation,
        lx.name(),
        lw.name(),
        ly.name()
    );
    let draft = Draft::new(Op::Conv1d(op), "sequences", params, data)
        .input(lx.desc(tx, &[x[0], x[1], x[3]])?, fill(data))
        .input(lw.desc(tw, &[out, x[1] / groups, kernel[1]])?, fill(data));
    let draft = if bias { draft.input(Layout::Plain.desc(tw, &[out])?, fill(data)) } else { draft };
    draft.output(ly.desc(ty, &[x[0], out, windows])?).quick_if(quick).add(sink)
}

fn im2col(sink: Sink<'_>, s: &Shape, turn: usize, quick: bool) -> Result<()> {
    let op = s.columns();
    let [oh, ow] = op.windows([s.x[2], s.x[3]])?;
    let rows = s.x[1] * s.kernel[0] * s.kernel[1];
    let dtype = pick(&FLOATS, turn);
    let list = match turn % 6 {
        1 => [dtype, DType::F32],
        4 => [DType::F32, dtype],
        5 => [pick(&[DType::I32, DType::U8], turn); 2],
        _ => [dtype; 2],
    };
    let [lx, _, ly] = pick(&LAYOUTS, turn);
    let params = format!("dtype={},{},layout={}_{}", types(&list), s.params(), lx.name(), ly.name());
    Draft::new(Op::Im2Col(op), "images", params, DataClass::Exact)
        .input(lx.desc(list[0], &s.x)?, Fill::Integers { max: 100 })
        .output(ly.desc(list[1], &[s.x[0], rows, oh * ow])?)
        .quick_if(quick)
        .add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let data = [DataClass::Exact, DataClass::Normal, DataClass::Exact, DataClass::Wide];
    for (i, s) in shapes().iter().enumerate() {
        im2col(sink, s, i, matches!(i, 2 | 3 | 6 | 8 | 11))?;
        for turn in [i, i + 7] {
            let quick = turn == i && matches!(i, 1 | 5 | 8 | 11 | 12 | 14);
            conv2d(sink, s, turn, pick(&data, turn / 2 + i), quick)?;
            // Images without a height have no counterpart.
            if s.x[2] > 0 {
                let quick = turn == i && matches!(i, 2 | 6 | 7 | 11 | 12);
                conv1d(sink, s, turn, pick(&data, turn / 2 + i), quick)?;
            }
        }
    }
    let large = [
        Shape { stride: [14, 14], ..shape([1, 3, 224, 224], 64, [14, 14]) },
        Shape { padding: [1, 1], groups: 64, ..shape([1, 64, 60, 60], 64, [3, 3]) },
        shape([1, 1100, 9, 8], 3, [3, 3]),
    ];
    for (i, s) in large.iter().enumerate() {
        im2col(sink, s, 6 * i, false)?;
        conv2d(sink, s, 10 * i, DataClass::Exact, false)?;
    }
    let audio = Shape { padding: [0, 1], ..shape([1, 80, 1, 3000], 24, [1, 3]) };
    conv1d(sink, &audio, 10, DataClass::Exact, false)?;
    conv1d(sink, &Shape { stride: [1, 2], padding: [0, 1], ..audio }, 11, DataClass::Normal, false)
}
