//! Attention: decode and prefill, grouped heads, every visibility, caches with stale rows.

use unisono_core::op::{Attention, Op, Visibility};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    batch: usize,
    heads: usize,
    kv_heads: usize,
    tokens: usize,
    kv: usize,
    head_dim: usize,
    v_dim: usize,
    visibility: Visibility,
    mask: Option<&'static str>,
    /// q, k and v, y.
    types: [DType; 3],
    layout: &'static str,
    data: DataClass,
    quick: bool,
}

const STALE: DataClass = DataClass::Adversarial("stale");
const HOT: DataClass = DataClass::Adversarial("hot");
const DECODE_MIXED: [[DType; 3]; 4] = [
    [DType::F32, DType::F16, DType::F32],
    [DType::F32, DType::BF16, DType::F32],
    [DType::F16, DType::F16, DType::F32],
    [DType::BF16, DType::F32, DType::F16],
];

/// The limits of the tokens of all batches: none, all, beyond, and in between.
fn limits(row: &Row) -> Vec<f64> {
    let kv = row.kv as f64;
    match row.data {
        STALE => vec![(kv / 2.0).floor(), (kv / 3.0).floor(), (kv / 2.0).floor().min(1.0)],
        _ => vec![kv, (kv / 2.0).ceil(), kv + 100.0, 0.0, 1.0, (kv - 1.0).max(0.0), f64::from(u32::MAX)],
    }
}

fn add(sink: Sink<'_>, row: Row) -> Result<()> {
    let Row { batch, heads, kv_heads, tokens, kv, head_dim, v_dim, visibility, data, .. } = row;
    let [tq, tk, ty] = row.types;
    let layout = match row.layout {
        // [batch, tokens, heads, dim] in memory: what a projection writes.
        "token_major" => TOKEN_MAJOR,
        _ => HEAD_MAJOR,
    };
    let params = format!(
        "dtype={},batch={batch},heads={heads}x{kv_heads},tokens={tokens},kv={kv},d={head_dim},dv={v_dim},see={},mask={},layout={}",
        types(&row.types),
        visibility.name(),
        row.mask.unwrap_or("none"),
        row.layout,
    );
    // Rows that no query sees hold huge finite numbers, of which only limits can tell.
    let beyond = if row.mask.is_some() || tk == DType::F16 { 1e30 } else { 3e37 };
    let cache = |seed_scale: f64| match data {
        DataClass::Exact => Fill::Integers { max: 4 },
        STALE => Fill::Beyond { axis: 2, seen: kv / 2, beyond },
        _ => Fill::normal(seed_scale),
    };
    let queries = match data {
        DataClass::Exact => Fill::Integers { max: 2 },
        HOT => Fill::Hot { hot: 300.0 },
        _ => Fill::NORMAL,
    };
    let scale = 1.0 / (head_dim.max(1) as f32).sqrt();
    let op = Attention { mask: row.mask.is_some(), ..Attention::new(scale, visibility) };
    let mut draft = Draft::new(Op::Attention(op), row.name, params, data)
        .input(layout(tq, [batch, heads, tokens, head_dim])?, queries)
        .input(layout(tk, [batch, kv_heads, kv, head_dim])?, cache(1.0))
        .input(layout(tk, [batch, kv_heads, kv, v_dim])?, cache(2.0));
    if let Some(mask) = row.mask {
        let shape = [batch, heads, tokens, kv];
        draft = match mask {
            // One mask for all batches and heads.
            "causal" => draft.input(Layout::SharedBatch.desc(DType::F32, &shape)?, Fill::CausalMask),
            "random" => draft.input(Layout::Plain.desc(tq, &shape)?, Fill::RandomMask),
            _ => draft.input(Layout::SharedRow.desc(DType::F32, &shape)?, Fill::constant(f64::NEG_INFINITY)),
        };
    }
    if visibility == Visibility::Limits {
        draft = draft.input(Layout::Plain.desc(DType::U32, &[batch, tokens])?, Fill::Cycle(limits(&row)));
    }
    draft.output(layout(ty, [batch, heads, tokens, v_dim])?).dtype(tq).quick_if(row.quick).add(sink)
}

type Place = fn(DType, [usize; 4]) -> Result<unisono_core::TensorDesc>;

const HEAD_MAJOR: Place = |dtype, shape| Layout::Plain.desc(dtype, &shape);
const TOKEN_MAJOR: Place = |dtype, [b, h, t, d]| Layout::Gap(4).desc(dtype, &[b, t, h, d])?.transposed(1, 2);

/// Each element type meets one range of widths at the quick level: both make a kernel, and building
/// kernels is what the level spends its time on. f32 meets all.
fn is_quick(types: [DType; 3], head_dim: usize) -> bool {
    let wide = head_dim > 64;
    match types {
        [DType::F32, DType::F32, DType::F32] => true,
        [DType::F16, DType::F16, DType::F16] => wide,
        _ => !wide,
    }
}

fn decode(sink: Sink<'_>) -> Result<()> {
    let heads = [(4, 4), (8, 2), (8, 1), (3, 3), (12, 4)];
    let kvs = [1, 17, 31, 32, 33, 128, 129, 257, 513];
    for (d, head_dim) in [16, 32, 64, 80, 128].into_iter().enumerate() {
        for (i, kv) in kvs.into_iter().enumerate() {
            let (h, kv_heads) = pick(&heads, i + d);
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + d + t;
                let types = if turn % 3 == 2 { pick(&DECODE_MIXED, i + t) } else { [dtype; 3] };
                let visibility = pick(&[Visibility::Limits, Visibility::All, Visibility::Causal], turn);
                let data = match visibility {
                    Visibility::Limits if i % 2 == 1 => STALE,
                    _ => pick(&[DataClass::Normal, DataClass::Normal, HOT, DataClass::Exact], i + 2 * t),
                };
                add(
                    sink,
                    Row {
                        name: "decode",
                        batch: 1 + (i + t) % 2 * 2,
                        heads: h,
                        kv_heads,
                        tokens: 1,
                        kv,
                        head_dim,
                        v_dim: head_dim,
                        visibility,
                        mask: None,
                        types,
                        layout: pick(&["head_major", "token_major"], turn),
                        data,
                        quick: turn % 7 < 2 && (kv < 200 || head_dim < 64) && is_quick(types, head_dim),
                    },
                )?;
            }
        }
    }
    Ok(())
}

fn prefill(sink: Sink<'_>) -> Result<()> {
    let heads = [(2, 2), (4, 1), (6, 3), (8, 1)];
    // (tokens, kv): a fresh prompt, a prompt after a cache, more queries than keys.
    let sizes =
        [(2, 2), (7, 7), (16, 33), (31, 31), (32, 32), (33, 40), (64, 64), (65, 65), (65, 129), (9, 4), (32, 160)];
    for (s, (tokens, kv)) in sizes.into_iter().enumerate() {
        for (d, head_dim) in [16, 64, 80, 128].into_iter().enumerate() {
            let (h, kv_heads) = pick(&heads, s + d);
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = s + d + t;
                let visibility = pick(&[Visibility::Causal, Visibility::Limits, Visibility::All], turn);
                let mask = if visibility == Visibility::All {
                    pick(&[Some("causal"), Some("random"), None], s + t)
                } else {
                    None
                };
                let data = match visibility {
                    Visibility::Limits if d % 2 == 0 => STALE,
                    _ => pick(&[DataClass::Normal, DataClass::Exact, HOT], s + 2 * t),
                };
                add(
                    sink,
                    Row {
                        name: "prefill",
                        batch: 1 + (s + d) % 2,
                        heads: h,
                        kv_heads,
                        tokens,
                        kv,
                        head_dim,
                        v_dim: head_dim,
                        visibility,
                        mask,
                        types: if turn % 4 == 3 { pick(&DECODE_MIXED, s) } else { [dtype; 3] },
                        layout: pick(&["token_major", "head_major"], turn / 2),
                        data,
                        quick: turn % 4 == 0 && tokens * kv * head_dim * h < 600_000 && is_quick([dtype; 3], head_dim),
                    },
                )?;
            }
        }
    }
    Ok(())
}

/// Sizes that kernels tend to forget: nothing to see, odd and very wide heads, values of another
/// width, masks that hide everything, both ways of hiding at once.
pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    decode(sink)?;
    prefill(sink)?;
    let base = Row {
        name: "edge",
        batch: 2,
        heads: 4,
        kv_heads: 2,
        tokens: 3,
        kv: 19,
        head_dim: 32,
        v_dim: 32,
        visibility: Visibility::All,
        mask: None,
        types: [DType::F32; 3],
        layout: "head_major",
        data: DataClass::Normal,
        quick: true,
    };
    let limits = Visibility::Limits;
    for (t, dtype) in FLOATS.into_iter().enumerate() {
        let base = Row { types: [dtype; 3], quick: dtype == DType::F32, ..base };
        for row in [
            Row { kv: 0, ..base },
            Row { tokens: 0, ..base },
            Row { batch: 0, ..base },
            Row { head_dim: 1, v_dim: 1, ..base },
            Row { head_dim: 33, v_dim: 33, ..base },
            Row { head_dim: 64, v_dim: 48, ..base },
            Row { head_dim: 256, v_dim: 256, ..base },
            Row { head_dim: 288, v_dim: 288, visibility: Visibility::Causal, ..base },
            Row { head_dim: 320, v_dim: 64, visibility: limits, ..base },
            Row { visibility: limits, tokens: 7, ..base },
            Row { visibility: limits, tokens: 1, batch: 7, layout: "token_major", ..base },
            Row { visibility: limits, tokens: 40, kv: 70, data: STALE, ..base },
            Row { mask: Some("hidden"), ..base },
            Row { mask: Some("hidden"), tokens: 33, layout: "token_major", ..base },
            Row { mask: Some("random"), ..base },
            Row { mask: Some("random"), tokens: 1, kv: 129, head_dim: 64, v_dim: 64, ..base },
            Row { mask: Some("causal"), tokens: 17, kv: 17, ..base },
            Row { mask: Some("random"), visibility: Visibility::Causal, tokens: 5, ..base },
            Row { mask: Some("random"), visibility: limits, tokens: 6, ..base },
            Row { visibility: Visibility::Causal, tokens: 21, kv: 5, ..base },
            Row { visibility: Visibility::Causal, tokens: 1, kv: 1, heads: 1, kv_heads: 1, ..base },
            Row { kv: 1, tokens: 1, data: HOT, ..base },
        ] {
            add(sink, row)?;
        }
        // Long caches and many heads.
        for (i, kv) in [1000, 1025, 2049, 4096].into_iter().enumerate() {
            let visibility = pick(&[limits, Visibility::Causal], i + t);
            let long =
                Row { name: "long", batch: 1, heads: 8, tokens: 1, kv, head_dim: 64, v_dim: 64, visibility, ..base };
            add(sink, Row { quick: i == 1 && t == 0, ..long })?;
            let many =
                Row { heads: 32, kv_heads: 8, head_dim: 128, v_dim: 128, visibility: limits, quick: false, ..long };
            if i == t || (i, dtype) == (3, DType::F16) {
                add(sink, Row { data: STALE, ..many })?;
            }
        }
    }
    Ok(())
}
