//! Attention with everything that is optional: softcaps, sinks, windows, boolean masks, pages, and
//! ragged sequences in one call. Options are rotated against each other, so that most pairs occur
//! and few kernels are built.

use unisono_core::op::{Attention, Op, Visibility};
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

/// Scores of ten thousand and more.
const LARGE: DataClass = DataClass::Adversarial("large");
/// A whole page is seen after the last one that the sequence holds: it reads as zero.
const STRAY: DataClass = DataClass::Adversarial("stray");
/// Freed memory around the keys that are seen.
const FREED: DataClass = DataClass::Adversarial("freed");

/// Queries that are hot in one column, so that each sees little but one key.
pub(super) const HOT: DataClass = DataClass::Adversarial("hot");

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) batch: usize,
    pub(super) heads: [usize; 2],
    pub(super) tokens: usize,
    pub(super) kv: usize,
    pub(super) head_dim: usize,
    pub(super) v_dim: usize,
    pub(super) visibility: Visibility,
    pub(super) window: Option<u32>,
    pub(super) softcap: Option<f32>,
    pub(super) mask: Option<&'static str>,
    pub(super) sinks: Option<f64>,
    /// q, k, v, y.
    pub(super) types: [DType; 4],
    pub(super) token_major: bool,
    pub(super) data: DataClass,
    pub(super) quick: bool,
}

pub(super) const BASE: Row = Row {
    name: "features",
    batch: 2,
    heads: [4, 2],
    tokens: 3,
    kv: 37,
    head_dim: 32,
    v_dim: 32,
    visibility: Visibility::Limits,
    window: None,
    softcap: None,
    mask: None,
    sinks: None,
    types: [DType::F32; 4],
    token_major: false,
    data: DataClass::Normal,
    quick: false,
};

fn desc(dtype: DType, [b, h, t, d]: [usize; 4], token_major: bool) -> Result<unisono_core::TensorDesc> {
    if token_major {
        let gap = if dtype.is_block() { dtype.block_elements() } else { 4 };
        return Layout::Gap(gap).desc(dtype, &[b, t, h, d])?.transposed(1, 2);
    }
    Layout::Plain.desc(dtype, &[b, h, t, d])
}

/// `cap=…,window=…,mask=…,sinks=…`
fn options(row: &Row) -> String {
    let text = |x: Option<String>| x.unwrap_or_else(|| "none".into());
    format!(
        "cap={},window={},mask={},sinks={}",
        text(row.softcap.map(|x| x.to_string())),
        text(row.window.map(|x| x.to_string())),
        row.mask.unwrap_or("none"),
        text(row.sinks.map(|x| x.to_string())),
    )
}

fn op(row: &Row) -> Attention {
    let scale = 1.0 / (row.head_dim.max(1) as f32).sqrt();
    Attention {
        softcap: row.softcap.map(Into::into),
        window: row.window,
        mask: row.mask.is_some(),
        sinks: row.sinks.is_some(),
        ..Attention::new(scale, row.visibility)
    }
}

fn queries(row: &Row) -> Fill {
    match row.data {
        DataClass::Exact => Fill::Integers { max: 2 },
        LARGE => Fill::normal(2000.0),
        HOT => Fill::Hot { hot: 300.0 },
        _ => Fill::NORMAL,
    }
}

fn with_mask(draft: Draft, row: &Row, kv: usize) -> Result<Draft> {
    let shape = [row.batch, row.heads[0], row.tokens, kv];
    Ok(match row.mask {
        None => draft,
        Some("causal") => draft.input(Layout::SharedBatch.desc(DType::F32, &shape)?, Fill::CausalMask),
        Some("bool") => draft.input(Layout::Plain.desc(DType::Bool, &shape)?, Fill::RandomMask),
        Some("hidden") => draft.input(Layout::SharedRow.desc(DType::Bool, &shape)?, Fill::constant(0.0)),
        Some(_) => draft.input(Layout::Plain.desc(row.types[0], &shape)?, Fill::RandomMask),
    })
}

/// Sinks of every head differ; some are far above, some far below the scores.
fn with_sinks(draft: Draft, row: &Row) -> Result<Draft> {
    let Some(size) = row.sinks else { return Ok(draft) };
    let desc = Layout::Plain.desc(row.types[0], &[row.heads[0]])?;
    Ok(draft.input(desc, Fill::Cycle(vec![size, -size, 0.5 * size + 1.0, 0.25, -1.5])))
}

/// A contiguous cache for each batch.
pub(super) fn add(sink: Sink<'_>, row: Row) -> Result<()> {
    let Row { batch, heads: [heads, kv_heads], tokens, kv, head_dim, v_dim, visibility, .. } = row;
    let [tq, tk, tv, ty] = row.types;
    let params = format!(
        "dtype={},batch={batch},heads={heads}x{kv_heads},tokens={tokens},kv={kv},d={head_dim},dv={v_dim},see={},{},layout={}",
        types(&row.types),
        visibility.name(),
        options(&row),
        if row.token_major { "token_major" } else { "head_major" },
    );
    let n = kv as f64;
    let limits = vec![n, (n / 2.0).ceil(), 0.0, n - 1.0, 1.0, n + 100.0, (n / 3.0).ceil()];
    let cache = |scale: f64| match row.data {
        DataClass::Exact => Fill::Integers { max: 4 },
        LARGE => Fill::normal(4.0 * scale),
        // Nothing beyond the longest limit of a batch is seen.
        FREED => Fill::Live { scale, live: vec![kv / 2 + 1; batch] },
        _ => Fill::normal(scale),
    };
    let limits = if row.data == FREED { vec![(n / 2.0).floor(), 0.0, (n / 3.0).ceil()] } else { limits };
    let mut draft = Draft::new(Op::Attention(op(&row)), row.name, params, row.data)
        .input(desc(tq, [batch, heads, tokens, head_dim], row.token_major)?, queries(&row))
        .input(desc(tk, [batch, kv_heads, kv, head_dim], row.token_major)?, cache(1.0))
        .input(desc(tv, [batch, kv_heads, kv, v_dim], row.token_major)?, cache(2.0));
    draft = with_mask(draft, &row, kv)?;
    if visibility == Visibility::Limits {
        draft = draft.input(Layout::Plain.desc(DType::U32, &[batch, tokens])?, Fill::Cycle(limits));
    }
    draft = with_sinks(draft, &row)?;
    draft.output(desc(ty, [batch, heads, tokens, v_dim], row.token_major)?).quick_if(row.quick).add(sink)
}

/// A cache of several sequences: contiguous (`page` 0) or paged.
#[derive(Clone, Copy)]
pub(super) struct Serving<'a> {
    /// Keys that each sequence holds, the new ones included.
    pub(super) lengths: &'a [usize],
    /// New tokens of each sequence; empty for one sequence per batch.
    pub(super) fresh: &'a [usize],
    pub(super) page: usize,
    /// How many queries name a sequence that does not exist.
    pub(super) strays: usize,
}

/// The page that holds part `i` of a sequence: neighbours lie apart, and in no order.
fn page_of(sequence: usize, i: usize, pages: usize) -> usize {
    let step = [7, 5, 3, 1].into_iter().find(|s| !pages.is_multiple_of(*s)).unwrap_or(1);
    ((sequence * 13 + i * 4 + 5 + sequence) * step) % pages
}

/// The table of all sequences: distinct pages from a pool of `pages`, strays where nothing is held.
fn block_table(serving: &Serving<'_>, columns: usize, pages: usize) -> (Vec<f64>, Vec<usize>) {
    let (mut table, mut live) = (Vec::new(), vec![0; pages]);
    for (sequence, &length) in serving.lengths.iter().enumerate() {
        for i in 0..columns {
            let held = length.saturating_sub(i * serving.page).min(serving.page);
            if held == 0 {
                table.push([pages as f64, f64::from(u32::MAX), 0.0][(sequence + i) % 3]);
                continue;
            }
            let first = page_of(sequence, i, pages);
            let free = (0..pages).map(|j| (first + j) % pages).find(|&p| live[p] == 0).unwrap_or(0);
            live[free] = held;
            table.push(free as f64);
        }
    }
    (table, live)
}

pub(super) fn add_serving(sink: Sink<'_>, row: Row, serving: &Serving<'_>) -> Result<()> {
    let Row { heads: [heads, kv_heads], head_dim, v_dim, token_major, .. } = row;
    let Serving { lengths, fresh, page, strays } = *serving;
    let [tq, tk, tv, ty] = row.types;
    let ragged = !fresh.is_empty();
    let (mut sequences, mut limits) = (Vec::new(), Vec::new());
    for (s, (&length, &n)) in lengths.iter().zip(fresh).enumerate() {
        for i in 0..n {
            sequences.push(s as f64);
            limits.push((length - n + i + 1) as f64);
        }
    }
    for i in 0..strays {
        sequences.push([lengths.len() as f64, f64::from(u32::MAX)][i % 2]);
        limits.push(5.0);
    }
    let (batch, tokens) = if ragged { (1, sequences.len()) } else { (lengths.len(), row.tokens) };
    if !ragged {
        let beyond = if row.data == STRAY { page } else { 0 };
        let of = |&length: &usize| (0..tokens).map(move |i| (beyond + length + i + 1).saturating_sub(tokens) as f64);
        limits = lengths.iter().flat_map(of).collect();
    }
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let columns = if page == 0 { 1 } else { longest.div_ceil(page) + 1 };
    let held: usize = lengths.iter().map(|n| n.div_ceil(page.max(1))).sum();
    let (caches, kv) = if page == 0 { (lengths.len(), longest) } else { (held + 3, page) };
    let (table, mut live) = block_table(serving, columns, caches.max(1));
    if page == 0 {
        live = lengths.to_vec();
    }
    let params = format!(
        "dtype={},lengths={},fresh={},page={page},strays={strays},heads={heads}x{kv_heads},tokens={tokens},d={head_dim},dv={v_dim},see={},{},layout={}",
        types(&row.types),
        dims(lengths),
        if ragged { dims(fresh) } else { "none".into() },
        row.visibility.name(),
        options(&row),
        if token_major { "token_major" } else { "head_major" },
    );
    let cache = |scale: f64| match row.data {
        DataClass::Exact => Fill::Integers { max: 4 },
        _ => Fill::Live { scale, live: live.clone() },
    };
    let row = Row { batch, tokens, ..row };
    let op = Attention { paged: page > 0, sequences: ragged, ..op(&row) };
    let mut draft = Draft::new(Op::Attention(op), row.name, params, row.data)
        .input(desc(tq, [batch, heads, tokens, head_dim], token_major)?, queries(&row))
        .input(desc(tk, [caches, kv_heads, kv, head_dim], token_major)?, cache(1.0))
        .input(desc(tv, [caches, kv_heads, kv, v_dim], token_major)?, cache(2.0));
    draft = with_mask(draft, &row, if page == 0 { kv } else { columns * page })?;
    if row.visibility == Visibility::Limits {
        draft = draft.input(Layout::Plain.desc(DType::U32, &[batch, tokens])?, Fill::Cycle(limits));
    }
    draft = with_sinks(draft, &row)?;
    if page > 0 {
        draft = draft.input(Layout::Gap(2).desc(DType::U32, &[lengths.len(), columns])?, Fill::Cycle(table));
    }
    if ragged {
        draft = draft.input(Layout::Plain.desc(DType::U32, &[batch, tokens])?, Fill::Cycle(sequences));
    }
    draft.output(desc(ty, [batch, heads, tokens, v_dim], token_major)?).quick_if(row.quick).add(sink)
}

pub(super) const F32: [DType; 4] = [DType::F32; 4];
/// Element types in turn, few of them mixed: each combination is a kernel to build.
const TYPES: [[DType; 4]; 5] = [
    F32,
    [DType::F16; 4],
    [DType::F32, DType::F16, DType::F16, DType::F32],
    [DType::BF16; 4],
    [DType::F32, DType::BF16, DType::BF16, DType::F32],
];

/// Options against sizes, on contiguous caches.
fn contiguous(sink: Sink<'_>) -> Result<()> {
    let heads = [[4, 2], [3, 3], [8, 1], [4, 4], [12, 4]];
    // Keys around the edges of tiles; windows around them, too.
    let sizes = [(1, 17), (1, 64), (3, 65), (5, 128), (17, 63), (1, 129), (33, 40), (2, 257), (16, 16), (9, 127)];
    let windows = [Some(1), None, Some(63), Some(64), None, Some(65), Some(5), None, Some(128), Some(1000), Some(16)];
    let masks = [None, Some("bool"), None, Some("random"), None, None, Some("hidden"), None, Some("causal")];
    let sinks = [None, Some(2.0), None, None, Some(30.0), None, Some(1e4), None];
    let softcaps = [Some(30.0), None, Some(50.0), None, None, Some(1.0), None];
    let visibility = [Visibility::Limits, Visibility::Causal, Visibility::All];
    for (i, (tokens, kv)) in sizes.into_iter().enumerate() {
        for (j, head_dim) in [32, 64, 80, 96, 128, 256].into_iter().enumerate() {
            let turn = 6 * i + j;
            let softcap = pick(&softcaps, turn);
            let see = pick(&visibility, turn);
            let data = match turn % 5 {
                1 if softcap.is_some() => LARGE,
                2 if see == Visibility::Limits => FREED,
                3 => DataClass::Exact,
                _ => DataClass::Normal,
            };
            let row = Row {
                batch: 1 + turn % 2,
                heads: pick(&heads, turn),
                tokens,
                kv,
                head_dim,
                v_dim: if turn % 11 == 7 { 48 } else { head_dim },
                visibility: see,
                window: pick(&windows, turn),
                softcap,
                mask: pick(&masks, turn),
                sinks: pick(&sinks, turn),
                types: if softcap.is_some() && data == LARGE { F32 } else { pick(&TYPES, i + j) },
                token_major: turn % 4 == 2,
                data,
                ..BASE
            };
            let small = tokens * kv * head_dim * row.heads[0] * row.batch < 150_000;
            add(sink, Row { quick: small && turn % 5 < 2 && head_dim < 256, ..row })?;
        }
    }
    Ok(())
}

/// Sizes that kernels tend to forget, each option alone and all at once.
fn edges(sink: Sink<'_>) -> Result<()> {
    let base = Row { name: "option", ..BASE };
    let (all, causal) = (Visibility::All, Visibility::Causal);
    for (i, row) in [
        Row { softcap: Some(20.0), visibility: all, ..base },
        Row { softcap: Some(50.0), data: LARGE, ..base },
        Row { softcap: Some(5.0), mask: Some("random"), visibility: all, ..base },
        Row { sinks: Some(3.0), visibility: all, ..base },
        Row { sinks: Some(1e4), ..base },
        Row { sinks: Some(-1e4), ..base },
        Row { sinks: Some(2.0), mask: Some("hidden"), ..base },
        Row { sinks: Some(2.0), heads: [6, 2], tokens: 1, kv: 200, visibility: all, ..base },
        Row { window: Some(1), visibility: causal, tokens: 9, ..base },
        Row { window: Some(4), visibility: causal, tokens: 37, batch: 1, ..base },
        Row { window: Some(8), visibility: all, ..base },
        Row { window: Some(u32::MAX), visibility: causal, ..base },
        Row { window: Some(16), tokens: 1, kv: 300, batch: 7, ..base },
        Row { window: Some(70), tokens: 20, kv: 150, visibility: causal, head_dim: 16, v_dim: 16, ..base },
        Row { mask: Some("bool"), visibility: all, ..base },
        Row { mask: Some("bool"), tokens: 33, kv: 70, batch: 1, visibility: causal, ..base },
        Row { mask: Some("hidden"), visibility: all, ..base },
        Row { kv: 0, sinks: Some(1.0), window: Some(3), ..base },
        Row { tokens: 0, softcap: Some(1.0), sinks: Some(1.0), ..base },
        Row { head_dim: 1, v_dim: 3, sinks: Some(1.0), softcap: Some(9.0), mask: Some("bool"), ..base },
        Row { head_dim: 288, v_dim: 33, sinks: Some(1.0), softcap: Some(9.0), window: Some(7), ..base },
        Row { softcap: Some(30.0), sinks: Some(1.0), window: Some(11), mask: Some("bool"), token_major: true, ..base },
        Row {
            softcap: Some(30.0),
            sinks: Some(1.0),
            window: Some(40),
            tokens: 1,
            kv: 140,
            mask: Some("random"),
            ..base
        },
    ]
    .into_iter()
    .enumerate()
    {
        add(sink, Row { quick: i % 2 == 1 || i == 2, ..row })?;
        add(sink, Row { types: pick(&TYPES, i % 4 + 1), token_major: !row.token_major, ..row })?;
    }
    for (i, window) in [None, Some(100), Some(1024)].into_iter().enumerate() {
        let long = Row { name: "long", batch: 1, heads: [8, 2], tokens: 1, kv: 2500, head_dim: 64, v_dim: 64, ..base };
        add(sink, Row { window, sinks: Some(4.0), types: pick(&TYPES, 2 * i), data: FREED, ..long })?;
        let prompt = Row { tokens: 150, kv: 700, heads: [4, 1], visibility: causal, ..long };
        add(sink, Row { window, softcap: Some(30.0), types: pick(&TYPES, i + 1), ..prompt })?;
    }
    Ok(())
}

/// Several sequences: one per batch, ragged prompts, single tokens and both at once.
fn serving(sink: Sink<'_>) -> Result<()> {
    let base = Row { name: "serving", data: FREED, ..BASE };
    // Lengths and new tokens of each sequence; strays.
    let batches: [(&[usize], &[usize], usize); 8] = [
        (&[5, 33, 16], &[], 0),
        (&[40, 7, 64, 1], &[1, 1, 1, 1], 0),
        (&[9, 20, 3], &[9, 20, 3], 0),
        (&[70, 12, 33, 0, 18], &[1, 12, 5, 0, 1], 1),
        (&[31, 32, 33], &[2, 0, 17], 2),
        (&[1, 0, 1], &[1, 0, 1], 0),
        (&[129, 65], &[1, 1], 1),
        (&[0, 0], &[0, 0], 3),
    ];
    let heads = [[4, 2], [4, 4], [8, 1], [6, 3]];
    let head_dims = [32, 64, 96, 128, 80];
    let windows = [None, Some(7), None, Some(16), Some(40)];
    let sinks = [None, None, Some(2.0)];
    for (i, (lengths, fresh, strays)) in batches.into_iter().enumerate() {
        for (j, page) in [16, 32, 0, 1, 5].into_iter().enumerate() {
            if page == 0 && fresh.is_empty() {
                continue;
            }
            let turn = 5 * i + 3 * j;
            let head_dim = pick(&head_dims, i + j);
            let row = Row {
                heads: pick(&heads, i + j),
                tokens: 2,
                head_dim,
                v_dim: head_dim,
                window: pick(&windows, turn),
                sinks: pick(&sinks, turn),
                softcap: if turn % 7 == 3 { Some(25.0) } else { None },
                mask: if turn % 11 == 6 { Some("bool") } else { None },
                types: pick(&TYPES, i + 2 * j),
                token_major: turn % 2 == 1,
                ..base
            };
            add_serving(sink, row, &Serving { lengths, fresh, page, strays })?;
        }
    }
    // The quick ones: few types, so few kernels.
    let quick = Row { quick: true, ..base };
    for (row, serving) in [
        // Lengths that end with a page, so that what follows is a stray page and nothing else.
        (Row { data: STRAY, tokens: 1, ..quick }, Serving { lengths: &[16, 32], fresh: &[], page: 16, strays: 0 }),
        (
            Row { data: STRAY, tokens: 1, types: [DType::F16; 4], ..quick },
            Serving { lengths: &[8, 16], fresh: &[], page: 8, strays: 0 },
        ),
        (Row { tokens: 1, ..quick }, Serving { lengths: &[5, 33, 16], fresh: &[], page: 16, strays: 0 }),
        (Row { sinks: Some(2.0), ..quick }, Serving { lengths: &[40, 7, 1], fresh: &[1, 1, 1], page: 16, strays: 1 }),
        (Row { window: Some(9), ..quick }, Serving { lengths: &[9, 0, 20], fresh: &[9, 0, 20], page: 8, strays: 0 }),
        (Row { softcap: Some(9.0), ..quick }, Serving { lengths: &[9, 30], fresh: &[3, 1], page: 0, strays: 2 }),
        (
            Row { visibility: Visibility::All, types: [DType::F16; 4], ..quick },
            Serving { lengths: &[64, 32], fresh: &[], page: 32, strays: 0 },
        ),
        (
            Row { head_dim: 64, v_dim: 64, ..quick },
            Serving { lengths: &[70, 12, 3], fresh: &[1, 12, 1], page: 32, strays: 0 },
        ),
    ] {
        let data = if row.visibility == Visibility::All { DataClass::Exact } else { row.data };
        add_serving(sink, Row { name: "ragged", data, ..row }, &serving)?;
    }
    // A long sequence beside short ones.
    for (i, dtype) in FLOATS.into_iter().enumerate() {
        let row = Row {
            name: "long",
            heads: [8, 2],
            head_dim: 64,
            v_dim: 64,
            types: [dtype; 4],
            window: [None, Some(300), None][i],
            sinks: [Some(1.0), None, None][i],
            ..base
        };
        let lengths = [1900, 3, 700];
        add_serving(sink, row, &Serving { lengths: &lengths, fresh: &[1, 1, 1], page: 16, strays: 0 })?;
        add_serving(sink, row, &Serving { lengths: &lengths, fresh: &[30, 1, 65], page: [16, 0, 32][i], strays: 0 })?;
    }
    Ok(())
}

/// Keys and values in blocks, with everything else around them.
fn quantised(sink: Sink<'_>) -> Result<()> {
    use DType::{BF16, F16, F32, Q8_0};
    let base = Row { name: "quantised", types: [F32, Q8_0, Q8_0, F32], ..BASE };
    let types = [[F32, Q8_0, Q8_0, F32], [F16, Q8_0, Q8_0, F16], [F32, Q8_0, F16, F32], [BF16, F32, Q8_0, BF16]];
    let heads = [[4, 2], [8, 1], [3, 3]];
    let head_dims = [32, 64, 96, 128, 256];
    let windows = [None, None, Some(9), Some(64)];
    let visibility = [Visibility::Limits, Visibility::Causal, Visibility::All];
    let sizes = [(1, 33), (1, 200), (7, 65), (40, 64)];
    for (i, (tokens, kv)) in sizes.into_iter().enumerate() {
        for (j, head_dim) in head_dims.into_iter().enumerate() {
            let turn = 5 * i + j;
            let see = pick(&visibility, turn);
            let row = Row {
                tokens,
                kv,
                head_dim,
                v_dim: if turn % 7 == 3 { 32 } else { head_dim },
                heads: pick(&heads, turn),
                visibility: see,
                window: pick(&windows, turn),
                types: pick(&types, i + j),
                token_major: turn % 2 == 1,
                softcap: if turn % 5 == 1 { Some(20.0) } else { None },
                mask: pick(&[None, None, Some("bool"), Some("random")], turn),
                sinks: if turn % 3 == 2 { Some(1.0) } else { None },
                data: if see == Visibility::Limits && turn % 2 == 0 { FREED } else { DataClass::Normal },
                ..base
            };
            add(sink, Row { quick: turn == 0 || turn == 6, ..row })?;
        }
    }
    let row = Row { data: FREED, head_dim: 64, v_dim: 64, ..base };
    let lengths = [40, 7, 66];
    for (i, (page, fresh)) in [(16, [1, 7, 1]), (32, [40, 1, 20]), (0, [1, 0, 30])].into_iter().enumerate() {
        let row = Row { quick: i == 0, types: pick(&types, 3 * i), token_major: i == 1, ..row };
        add_serving(sink, row, &Serving { lengths: &lengths, fresh: &fresh, page, strays: i })?;
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    contiguous(sink)?;
    edges(sink)?;
    quantised(sink)?;
    serving(sink)
}
