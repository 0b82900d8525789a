//! Block formats: every format decoded, made, moved by row and multiplied with.
//!
//! Blocks are made byte by byte, so that all codes and scales occur; what is quantised are numbers.
//! Element types of the other operands rotate over the formats, since every combination is a kernel
//! to compile on a GPU.

use unisono_core::op::{Activation, Linear, Op};
use unisono_core::{DType, Result, TensorDesc};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::{Fill, Scales};

const MAX: DataClass = DataClass::Adversarial("max_scale");
const ZERO: DataClass = DataClass::Adversarial("zero_scale");
const SUBNORMAL: DataClass = DataClass::Adversarial("subnormal_scale");
const STRAY: DataClass = DataClass::Adversarial("stray");

/// The formats that numbers can be quantised to.
fn quantisable() -> impl Iterator<Item = DType> {
    DType::BLOCKS.into_iter().filter(|d| d.is_quantisable())
}

/// The blocks of a class of data.
pub(super) fn blocks(data: DataClass) -> Fill {
    Fill::Blocks(match data {
        DataClass::Exact => Scales::Exact,
        MAX => Scales::Max,
        ZERO => Scales::Zero,
        SUBNORMAL => Scales::Subnormal,
        _ => Scales::Normal,
    })
}

/// Rows of blocks with a gap of `gap` blocks after each, in a tensor of any rank.
pub(super) fn gapped(dtype: DType, shape: &[usize], gap: usize) -> Result<TensorDesc> {
    let mut strides = TensorDesc::contiguous(dtype, shape)?.strides;
    let (mut step, last) = (1, shape.len() - 1);
    for i in (0..=last).rev() {
        strides[i] = step;
        step = if i == last { shape[i] + gap * dtype.block_elements() } else { step * shape[i].max(1) };
    }
    TensorDesc::strided(dtype, shape, &strides)
}

fn decode(sink: Sink<'_>) -> Result<()> {
    let classes = [DataClass::Normal, DataClass::Exact, SUBNORMAL, MAX, ZERO];
    for (i, dtype) in DType::BLOCKS.into_iter().enumerate() {
        for (t, to) in FLOATS.into_iter().enumerate() {
            for (c, data) in classes.into_iter().enumerate() {
                let (name, x) = match (i + t + c) % 4 {
                    0 => ("gap", gapped(dtype, &[5, 2, 512], 1)?),
                    1 => ("turned", TensorDesc::contiguous(dtype, &[3, 7, 256])?.permuted(&[2, 0, 1])?),
                    2 => ("shared", TensorDesc::contiguous(dtype, &[1, 256])?.broadcast_to(&[33, 256])?),
                    _ => ("plain", TensorDesc::contiguous(dtype, &[3, 2048])?),
                };
                let y = pick(&[Layout::Plain, Layout::Gap(1), Layout::Plain, Layout::Skip], i + t + 2 * c);
                Draft::new(Op::Copy, "decode", format!("dtype={dtype}_{to},layout={name}_{}", y.name()), data)
                    .input(x, blocks(data))
                    .output(y.desc(to, &x.shape)?)
                    .quick_if(t == i % 3 && c == i / 3 % 3)
                    .add(sink)?;
            }
        }
        let plain = |shape: &[usize]| TensorDesc::contiguous(dtype, shape);
        for (l, (name, x, y)) in [
            ("plain", plain(&[7, 512])?, plain(&[7, 512])?),
            ("gap", gapped(dtype, &[3, 5, 256], 2)?, plain(&[3, 5, 256])?),
            ("turned", plain(&[5, 3, 256])?.transposed(0, 1)?, gapped(dtype, &[3, 5, 256], 1)?),
            ("columns", plain(&[9, 256])?.transposed(0, 1)?, gapped(dtype, &[9, 256], 3)?.transposed(0, 1)?),
        ]
        .into_iter()
        .enumerate()
        {
            Draft::new(Op::Copy, "blocks", format!("dtype={dtype},layout={name}"), DataClass::Normal)
                .input(x, blocks(DataClass::Normal))
                .output(y)
                .quick_if(i % 4 == 1 && l == i / 4 % 4)
                .add(sink)?;
        }
    }
    let x = TensorDesc::contiguous(DType::Q4_0, &[70000, 32])?;
    Draft::new(Op::Copy, "decode", "dtype=q4_0_f16,layout=many", DataClass::Normal)
        .input(x, blocks(DataClass::Normal))
        .output(TensorDesc::contiguous(DType::F16, &x.shape)?)
        .add(sink)
}

/// Numbers to quantise: what they are, and what they break.
fn numbers() -> [(DataClass, Fill); 7] {
    let few = vec![0.0, 0.0, -0.0, 1.0, 0.0];
    [
        (DataClass::Normal, Fill::NORMAL),
        (DataClass::Exact, Fill::Integers { max: 8 }),
        (DataClass::Wide, Fill::Wide { min_exp: -12, max_exp: 6 }),
        (DataClass::Adversarial("hot"), Fill::Hot { hot: -3000.0 }),
        (DataClass::Adversarial("offset"), Fill::Uniform { low: 9.0, high: 10.0 }),
        (DataClass::Adversarial("tiny"), Fill::normal(1e-6)),
        (DataClass::Adversarial("sparse"), Fill::Cycle(few)),
    ]
}

fn quantise(sink: Sink<'_>) -> Result<()> {
    for (i, dtype) in quantisable().enumerate() {
        for (c, (data, fill)) in numbers().into_iter().enumerate() {
            for (t, from) in FLOATS.into_iter().enumerate() {
                let plain = TensorDesc::contiguous(dtype, &[5, 3, 512])?;
                let (name, layout, y) = match (i + c + t) % 4 {
                    0 => ("gap", Layout::Plain, gapped(dtype, &[5, 3, 512], 1)?),
                    1 => ("turned", Layout::Transposed, plain),
                    // Blocks along the middle dimension.
                    2 => ("middle", Layout::Plain, TensorDesc::contiguous(dtype, &[2, 7, 256])?.transposed(1, 2)?),
                    _ => ("plain", Layout::Gap(3), plain),
                };
                Draft::new(Op::Copy, "quantise", format!("dtype={from}_{dtype},layout={name}"), data)
                    .input(layout.desc(from, &y.shape)?, fill.clone())
                    .output(y)
                    .dtype(dtype)
                    .quick_if(t == i % 3 && c == (i + i / 3) % 4)
                    .add(sink)?;
            }
        }
    }
    let y = TensorDesc::contiguous(DType::Q8_0, &[70000, 32])?;
    Draft::new(Op::Copy, "quantise", "dtype=f32_q8_0,layout=many", DataClass::Normal)
        .input(TensorDesc::contiguous(DType::F32, &y.shape)?, Fill::NORMAL)
        .output(y)
        .dtype(DType::Q8_0)
        .add(sink)
}

fn rows(sink: Sink<'_>) -> Result<()> {
    let tables: [&[usize]; 4] = [&[17, 512], &[5, 3, 256], &[0, 256], &[300, 256]];
    let counts: [&[usize]; 4] = [&[9], &[2, 3], &[4], &[65]];
    for (i, dtype) in DType::BLOCKS.into_iter().enumerate() {
        for (s, (table, count)) in tables.into_iter().zip(counts).enumerate() {
            let (to, index) = (pick(&FLOATS, i + s), pick(&[DType::U32, DType::I32], i + s));
            let stray = s != 3;
            let rows = table[0];
            let fill = if stray { Fill::StrayIndices { rows } } else { Fill::Indices { rows } };
            let y = pick(&[Layout::Plain, Layout::Gap(3)], i + s).desc(to, &[count, &table[1..]].concat())?;
            let params =
                format!("dtype={dtype}_{to},table={},indices={}_{index},gap={}", dims(table), dims(count), s % 2);
            Draft::new(Op::GatherRows, "blocks", params, if stray { STRAY } else { DataClass::Normal })
                .input(gapped(dtype, table, s % 2)?, blocks(DataClass::Normal))
                .input(TensorDesc::contiguous(index, count)?, fill)
                .output(y)
                .quick_if(i % 2 == 0 && s == i / 2 % 2)
                .add(sink)?;

            // The same format, or numbers that are quantised as they are written.
            let made = dtype.is_quantisable() && s != 1;
            let from = if made { pick(&FLOATS, i + s) } else { dtype };
            let targets: [(usize, &[usize]); 4] =
                [(3, &[9, 256]), (6, &[6, 3, 512]), (2, &[8, 2, 256]), (65, &[70, 256])];
            let (n, dst) = targets[s];
            let src = [&[n], &dst[1..]].concat();
            let indices = if s == 0 { vec![4.0, -1.0, 0.0] } else { Vec::new() };
            let (data, fill) = if s == 0 {
                (STRAY, Fill::Cycle(indices))
            } else {
                (DataClass::Normal, Fill::Distinct { rows: dst[0] })
            };
            let index = if s == 0 { DType::I32 } else { DType::U32 };
            let numbers = if made { Fill::normal(2.0) } else { blocks(DataClass::Normal) };
            let params = format!("dtype={from}_{dtype},n={n},dst={},gap={}", dims(dst), s % 2);
            Draft::new(Op::ScatterRows, "blocks", params, data)
                .input(gapped(from, &src, s % 2)?, numbers)
                .input(TensorDesc::contiguous(index, &[n])?, fill)
                .output(gapped(dtype, dst, (s + 1) % 2)?)
                .initial(blocks(DataClass::Normal))
                .dtype(dtype)
                .quick_if(i % 2 == 0 && s == i / 2 % 2)
                .add(sink)?;
        }
    }
    Ok(())
}

struct Row<'a> {
    name: &'static str,
    batch: &'a [usize],
    mkn: [usize; 3],
    types: [DType; 3],
    layout: &'static str,
    data: DataClass,
    quick: bool,
}

/// A weight `[batch, n, k]`, seen transposed.
fn weight(dtype: DType, batch: &[usize], [n, k]: [usize; 2], layout: &str) -> Result<TensorDesc> {
    let shape = [batch, &[n, k]].concat();
    let stored = match layout {
        "gap" => gapped(dtype, &shape, 1)?,
        "shared" => TensorDesc::contiguous(dtype, &[n, k])?.broadcast_to(&shape)?,
        _ => TensorDesc::contiguous(dtype, &shape)?,
    };
    stored.transposed(shape.len() - 2, shape.len() - 1)
}

/// What fills activations that meet weights of a class of data.
pub(super) fn activations(data: DataClass) -> Fill {
    if data == DataClass::Exact { Fill::Integers { max: 8 } } else { Fill::NORMAL }
}

fn product(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [m, k, n] = row.mkn;
    let [ta, tb, ty] = row.types;
    let batch = if row.batch.is_empty() { String::new() } else { format!("batch={},", dims(row.batch)) };
    let params = format!("dtype={},{batch}m={m},k={k},n={n},layout={}", types(&row.types), row.layout);
    let side = if row.layout == "gap" { Layout::Gap(3) } else { Layout::Plain };
    Draft::new(Op::MatMul, row.name, params, row.data)
        .input(side.desc(ta, &[row.batch, &[m, k]].concat())?, activations(row.data))
        .input(weight(tb, row.batch, [n, k], row.layout)?, blocks(row.data))
        .output(side.desc(ty, &[row.batch, &[m, n]].concat())?)
        .dtype(tb)
        .quick_if(row.quick)
        .add(sink)
}

/// Types of activations and result.
const SIDES: [[DType; 2]; 4] =
    [[DType::F32, DType::F32], [DType::F16, DType::F16], [DType::F32, DType::F32], [DType::BF16, DType::F32]];

fn matmul(sink: Sink<'_>) -> Result<()> {
    let shapes: [[usize; 3]; 12] = [
        [1, 256, 33],
        [33, 512, 65],
        [2, 768, 31],
        [1, 2048, 7],
        [5, 256, 130],
        [9, 512, 17],
        [64, 256, 64],
        [3, 1024, 1],
        [7, 256, 300],
        [17, 768, 37],
        [8, 256, 100],
        [4, 512, 63],
    ];
    let classes = [DataClass::Exact, DataClass::Normal, DataClass::Normal, DataClass::Exact, SUBNORMAL, ZERO, MAX];
    for (i, dtype) in DType::BLOCKS.into_iter().enumerate() {
        for (s, mkn) in shapes.into_iter().enumerate() {
            let data = pick(&classes, i + s);
            let [ta, ty] = if data == MAX { SIDES[0] } else { pick(&SIDES, i + s) };
            let layout = pick(&["nt", "gap"], (i + s) / 2);
            // One row, or more; 33 for few formats, since a kernel for many rows takes long to build.
            let first = match i {
                1 | 9 => 1,
                _ if i % 2 == 1 => 5,
                _ => 0,
            };
            let quick = s == first || (i < 4 && i % 2 == 0 && s == 2 + i % 4);
            product(sink, &Row { name: "blocks", batch: &[], mkn, types: [ta, dtype, ty], layout, data, quick })?;
        }
        // Small blocks in a number that does not fill large ones.
        let odd = [[1, 32, 19], [4, 96, 33], [9, 288, 40], [3, 896, 65], [33, 160, 21], [2, 544, 130]];
        for (j, mkn) in odd.into_iter().enumerate().filter(|_| dtype.block_elements() == 32) {
            let [ta, ty] = pick(&SIDES, i + j);
            let (layout, data) = (pick(&["nt", "gap"], i + j), pick(&[DataClass::Exact, DataClass::Normal], i / 2 + j));
            let quick = j == (i + i / 6) % odd.len();
            product(sink, &Row { name: "odd", batch: &[], mkn, types: [ta, dtype, ty], layout, data, quick })?;
        }
        // One dropped or doubled term shows at any length, because the data is exact.
        for (j, [m, n]) in [[1, 3], [4, 17], [33, 5]].into_iter().enumerate() {
            let quick = j < 2 && matches!((dtype, j), (DType::Q8_0, 0) | (DType::Q4K, _));
            let types = [DType::F32, dtype, DType::F32];
            let row =
                Row { name: "long", batch: &[], mkn: [m, 8192, n], types, layout: "nt", data: DataClass::Exact, quick };
            product(sink, &row)?;
        }
        let batches: [(&[usize], [usize; 3], &str); 3] =
            [(&[3], [2, 256, 9], "nt"), (&[2, 2], [33, 256, 16], "shared"), (&[2], [1, 512, 5], "shared")];
        for (j, (batch, mkn, layout)) in batches.into_iter().enumerate() {
            let types = [pick(&FLOATS, i + j), dtype, DType::F32];
            let quick = j == i % 3 && i % 5 == 0;
            let data = DataClass::Normal;
            product(sink, &Row { name: "batch", batch, mkn, types, layout, data, quick })?;
        }
        let types = [DType::F32, dtype, DType::F32];
        for mkn in [[0, 256, 5], [4, 0, 5], [4, 256, 0]] {
            let data = DataClass::Normal;
            product(sink, &Row { name: "empty", batch: &[], mkn, types, layout: "nt", data, quick: false })?;
        }
    }
    let types = [DType::F32, DType::Q4_0, DType::F32];
    let many = Row {
        name: "wide",
        batch: &[],
        mkn: [1, 64, 70000],
        types,
        layout: "nt",
        data: DataClass::Exact,
        quick: false,
    };
    product(sink, &many)
}

fn linear(sink: Sink<'_>) -> Result<()> {
    let shapes = [[1, 256, 65], [33, 256, 40], [3, 512, 129]];
    for (i, dtype) in DType::BLOCKS.into_iter().enumerate() {
        for (s, [m, k, n]) in shapes.into_iter().enumerate() {
            let activation = pick(&Activation::ALL, i + s);
            let (bias, residual) = pick(&[(true, true), (true, false), (false, true)], i + s);
            let op = Linear { bias, activation, residual: residual || (!bias && activation == Activation::None) };
            let [ta, ty] = pick(&SIDES, i + s);
            let data = pick(&[DataClass::Normal, DataClass::Exact], i + s);
            let params = format!(
                "dtype={},m={m},k={k},n={n},act={},bias={},residual={}",
                types(&[ta, dtype, ty]),
                activation.name(),
                u8::from(op.bias),
                u8::from(op.residual),
            );
            let mut draft = Draft::new(Op::Linear(op), "blocks", params, data)
                .input(TensorDesc::contiguous(ta, &[m, k])?, activations(data))
                .input(weight(dtype, &[], [n, k], "nt")?, blocks(data));
            if op.bias {
                draft = draft.input(TensorDesc::contiguous(DType::F32, &[n])?, activations(data));
            }
            if op.residual {
                draft = draft.input(TensorDesc::contiguous(ty, &[m, n])?, activations(data));
            }
            draft
                .output(TensorDesc::contiguous(ty, &[m, n])?)
                .dtype(dtype)
                .quick_if(s == 0 && i % 4 == 0 || s == 1 && i % 6 == 1)
                .add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    decode(sink)?;
    quantise(sink)?;
    rows(sink)?;
    matmul(sink)?;
    linear(sink)
}
