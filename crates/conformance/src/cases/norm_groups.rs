//! Normalisation over groups of channels, by length, and the forms without weight or bias.

use unisono_core::op::{GroupNorm, L2Norm, LayerNorm, Op, RmsNorm};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const OFFSET: DataClass = DataClass::Adversarial("offset");
const ZEROS: DataClass = DataClass::Adversarial("zeros");
const HOT: DataClass = DataClass::Adversarial("hot");
const TINY: DataClass = DataClass::Adversarial("tiny");

fn fill(data: DataClass, dtype: DType) -> Fill {
    match data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::Wide { min_exp: -12, max_exp: 10 },
        OFFSET => Fill::Normal { mean: 1000.0, scale: if dtype == DType::BF16 { 30.0 } else { 1.0 } },
        ZEROS => Fill::constant(0.0),
        HOT => Fill::Hot { hot: 2000.0 },
        // Rows shorter than eps.
        TINY => Fill::normal(1e-3),
        _ => Fill::NORMAL,
    }
}

fn with_vectors(draft: Draft, [weight, bias]: [bool; 2], dtype: DType, n: usize, layout: Layout) -> Result<Draft> {
    let vector = layout.desc(dtype, &[n])?;
    let draft = if weight { draft.input(vector, Fill::Normal { mean: 1.0, scale: 0.25 }) } else { draft };
    Ok(if bias { draft.input(vector, Fill::NORMAL) } else { draft })
}

fn groups(sink: Sink<'_>) -> Result<()> {
    let shapes: [(&[usize], usize); 20] = [
        (&[1, 1, 1], 1),
        (&[2, 4, 5], 2),
        (&[2, 6, 3, 5], 3),
        (&[1, 32, 7, 7], 32),
        (&[3, 8], 4),
        (&[2, 4, 0], 2),
        (&[0, 4, 3], 2),
        (&[1, 4, 3, 2, 2], 1),
        (&[2, 64, 33], 8),
        (&[3, 5, 257], 5),
        (&[1, 12, 16, 17], 4),
        (&[2, 3, 31], 1),
        (&[1, 2, 1025], 2),
        (&[4, 16, 2], 16),
        (&[1, 6, 127], 2),
        (&[2, 8, 9, 1], 2),
        (&[1, 1, 4096], 1),
        (&[5, 2, 3, 2, 2, 2], 2),
        (&[1, 320, 8, 8], 32),
        (&[7, 10, 11], 10),
    ];
    let data = [DataClass::Normal, OFFSET, HOT, DataClass::Wide, ZEROS, DataClass::Exact];
    let layouts = [Layout::Plain, Layout::Gap(3), Layout::Transposed, Layout::Reversed, Layout::Skip];
    let add = |sink: Sink<'_>, (shape, groups): (&[usize], usize), turn: usize, data, flags: [bool; 2], quick| {
        let dtype = pick(&FLOATS, turn);
        let types_of = match turn % 5 {
            1 => [dtype, DType::F32, dtype],
            3 => [dtype, dtype, DType::F32],
            _ => [dtype; 3],
        };
        let [tx, tw, ty] = types_of;
        let layout = pick(&layouts, turn);
        let eps = if data == DataClass::Exact { 1.0 } else { 1e-5 };
        let [weight, bias] = flags;
        let op = Op::GroupNorm(GroupNorm { groups, eps: eps.into(), weight, bias });
        let affine = ["none", "weight", "bias", "both"][usize::from(weight) + 2 * usize::from(bias)];
        let list = types(&types_of);
        let params =
            format!("dtype={list},shape={},groups={groups},affine={affine},layout={}", dims(shape), layout.name());
        let draft = Draft::new(op, "channels", params, data).input(layout.desc(tx, shape)?, fill(data, tx));
        let vector = if turn.is_multiple_of(2) { Layout::Plain } else { Layout::Skip };
        with_vectors(draft, flags, tw, shape[1], vector)?
            .output(pick(&layouts, turn / 2).desc(ty, shape)?)
            .quick_if(quick)
            .add(sink)
    };
    for (i, shape) in shapes.into_iter().enumerate() {
        for turn in [i, i + 4] {
            let flags = [[true, true], [true, false], [false, false], [true, true], [false, true]][turn % 5];
            let quick = turn == i && matches!(i, 1 | 2 | 4 | 8 | 9 | 14);
            add(sink, shape, turn, pick(&data, turn + i / 3), flags, quick)?;
        }
    }
    for (i, shape) in [(&[70_000, 2, 3][..], 2), (&[1, 4, 20_000], 2), (&[1, 32, 19_000], 1), (&[1, 64, 27_000], 1)]
        .into_iter()
        .enumerate()
    {
        add(sink, shape, 15 * (i / 2), DataClass::Normal, [true; 2], i == 1)?;
    }
    Ok(())
}

fn lengths(sink: Sink<'_>) -> Result<()> {
    let data = [DataClass::Normal, TINY, DataClass::Wide, HOT, DataClass::Exact, ZEROS];
    let layouts = [Layout::Plain, Layout::Gap(3), Layout::Transposed, Layout::Skip];
    let shapes: [&[usize]; 20] = [
        &[1],
        &[33],
        &[3, 2],
        &[3, 31],
        &[2, 64],
        &[7, 127],
        &[1, 255],
        &[4, 256],
        &[2, 257],
        &[3, 1000],
        &[1, 4096],
        &[2, 3, 5],
        &[2, 1, 3, 65],
        &[0, 5],
        &[3, 0],
        &[2, 5120],
        &[129, 3],
        &[1, 32_001],
        &[70_000, 3],
        &[2, 2, 2, 2, 9],
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        for turn in [i, i + 4] {
            let dtype = pick(&FLOATS, turn);
            let list = if turn % 4 == 1 { [dtype, DType::F32] } else { [dtype; 2] };
            let (layout, class) = (pick(&layouts, turn), pick(&data, turn));
            let eps: f32 = if class == TINY { 0.5 } else { 1e-6 };
            let params = format!("dtype={},shape={},layout={}", types(&list), dims(shape), layout.name());
            Draft::new(Op::L2Norm(L2Norm { eps: eps.into() }), "rows", params, class)
                .input(layout.desc(list[0], shape)?, fill(class, list[0]))
                .output(pick(&layouts, turn / 2).desc(list[1], shape)?)
                .quick_if(turn == i && matches!(i, 1 | 3 | 4 | 6 | 8 | 12 | 17))
                .add(sink)?;
        }
    }
    Ok(())
}

/// RMS and layer normalisation without weight or bias.
fn bare(sink: Sink<'_>) -> Result<()> {
    let eps = 1e-5.into();
    for (i, n) in [1, 3, 33, 128, 257, 1000, 1025, 4096].into_iter().enumerate() {
        let shape = [pick(&[3, 1, 2], i), n];
        for (k, flags) in [None, Some([false, false]), Some([true, false]), Some([false, true])].into_iter().enumerate()
        {
            let dtype = pick(&FLOATS, i + k);
            let class = if flags.is_some() { pick(&[OFFSET, DataClass::Normal], i) } else { DataClass::Normal };
            let layout = pick(&[Layout::Plain, Layout::Gap(3), Layout::Skip], i + k);
            let (op, name) = match flags {
                None => (Op::RmsNorm(RmsNorm { eps, weight: false }), "bare"),
                Some([weight, bias]) => (
                    Op::LayerNorm(LayerNorm { eps, weight, bias }),
                    ["bare", "weight", "bias"][usize::from(weight) + 2 * usize::from(bias)],
                ),
            };
            let params = format!("dtype={dtype},shape={},layout={}", dims(&shape), layout.name());
            let draft = Draft::new(op, name, params, class).input(layout.desc(dtype, &shape)?, fill(class, dtype));
            with_vectors(draft, flags.unwrap_or_default(), dtype, n, Layout::Plain)?
                .output(layout.desc(dtype, &shape)?)
                .quick_if(i == 2 || i == 5 && k < 2)
                .add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    groups(sink)?;
    lengths(sink)?;
    bare(sink)
}
