//! Normalisations: row lengths around every block size, means far larger than the spread, rows
//! of zeros, and more rows than a dispatch has workgroups.

use unisono_core::op::{AddRmsNorm, LayerNorm, Op, RmsNorm};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

#[derive(Clone, Copy)]
enum Norm {
    Rms,
    Layer,
    AddRms,
}

const OFFSET: DataClass = DataClass::Adversarial("offset");
const ZEROS: DataClass = DataClass::Adversarial("zeros");
const BIG: DataClass = DataClass::Adversarial("big");
const HOT: DataClass = DataClass::Adversarial("hot");

struct Row<'a> {
    norm: Norm,
    shape: &'a [usize],
    /// x (and residual), weights, outputs.
    types: [DType; 3],
    layout: Layout,
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [tx, tw, ty] = row.types;
    let n = row.shape.last().copied().unwrap_or(0);
    let x = match row.data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::Wide { min_exp: -12, max_exp: 10 },
        OFFSET => Fill::Normal { mean: 1000.0, scale: if tx == DType::BF16 { 30.0 } else { 1.0 } },
        ZEROS => Fill::constant(0.0),
        BIG => Fill::normal(if tx == DType::F16 { 1e4 } else { 1e12 }),
        HOT => Fill::Hot { hot: 2000.0 },
        _ => Fill::NORMAL,
    };
    let eps = match row.data {
        DataClass::Wide => 1e-6,
        DataClass::Exact => 1.0,
        _ => 1e-5,
    };
    let eps = eps.into();
    let op = match row.norm {
        Norm::Rms => Op::RmsNorm(RmsNorm { eps, weight: true }),
        Norm::Layer => Op::LayerNorm(LayerNorm { eps, weight: true, bias: true }),
        Norm::AddRms => Op::AddRmsNorm(AddRmsNorm { eps }),
    };
    let vector = Layout::Plain.desc(tw, &[n])?;
    let weight = Fill::Normal { mean: 1.0, scale: 0.25 };
    let params = format!("dtype={},shape={},layout={}", types(&row.types), dims(row.shape), row.layout.name());
    let place = |dtype| row.layout.desc(dtype, row.shape);
    let draft = Draft::new(op, "rows", params, row.data).input(place(tx)?, x.clone());
    let draft = match row.norm {
        Norm::Rms => draft.input(vector, weight),
        Norm::Layer => draft.input(vector, weight).input(vector, Fill::NORMAL),
        // The sum has the type of x, the normalised rows that of y.
        Norm::AddRms => draft.input(place(tx)?, x).input(vector, weight).output(place(tx)?),
    };
    draft.output(place(ty)?).quick_if(row.quick).add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    // The longest are over what one invocation, or a few, would take of a row.
    let lengths = [
        1, 2, 3, 5, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 515, 1000, 1024, 2047, 4096, 5120, 8193,
        16_385,
    ];
    let rows = [1, 3, 7, 4];
    let data = [DataClass::Normal, OFFSET, DataClass::Wide, DataClass::Exact, HOT, BIG, ZEROS];
    let layouts = [Layout::Plain, Layout::Gap(3), Layout::Plain, Layout::Skip, Layout::Transposed];
    for (k, norm) in [Norm::Rms, Norm::Layer, Norm::AddRms].into_iter().enumerate() {
        for (i, n) in lengths.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + t + k;
                let types = match turn % 5 {
                    1 => [dtype, DType::F32, dtype],
                    3 => [DType::F32, dtype, DType::F32],
                    4 => [dtype, dtype, DType::F32],
                    _ => [dtype; 3],
                };
                let shape = [pick(&rows, turn), n];
                let data_class = pick(&data, turn + t);
                let layout = pick(&layouts, turn);
                add(sink, &Row { norm, shape: &shape, types, layout, data: data_class, quick: t == i % 3 })?;
                // The mean far from zero is the case that one pass over the row gets wrong.
                let hard = if matches!(norm, Norm::Layer) { OFFSET } else { HOT };
                let quick = matches!(norm, Norm::Layer) && dtype == DType::F32 && i % 4 == 3;
                add(sink, &Row { norm, shape: &[2, n], types: [dtype; 3], layout: Layout::Plain, data: hard, quick })?;
            }
        }
        for (i, shape) in
            [&[33usize][..], &[3, 0], &[0, 5], &[2, 3, 5], &[2, 1, 3, 64], &[2, 2, 2, 2, 9]].into_iter().enumerate()
        {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let layout = pick(&[Layout::Plain, Layout::Reversed], i + t);
                add(sink, &Row { norm, shape, types: [dtype; 3], layout, data: DataClass::Normal, quick: t == i % 3 })?;
            }
        }
        // More rows than workgroups in one dimension of a grid.
        let types = [DType::F32; 3];
        let many =
            Row { norm, shape: &[66000, 3], types, layout: Layout::Plain, data: DataClass::Normal, quick: false };
        add(sink, &many)?;
    }
    Ok(())
}
