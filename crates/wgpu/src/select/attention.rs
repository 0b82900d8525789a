//! Attention with a running softmax. `attention_16`, `_8` and `_4` take that many rows (queries of
//! all heads that share a key-value head) in a workgroup; `attention_split` also splits the keys over
//! workgroups, for the few rows of a decode step, and joins the parts in a second launch. The names with
//! `subgroups` are the same kernels, where invocations pass on what each of them would load otherwise.
//!
//! The small optional operands (sinks, block table, sequences) share one binding: alone, one is
//! bound as it lies; several are first copied side by side, so that no shader needs more storage
//! buffers than every device has.

use unisono_core::op::{Attention, Visibility};
use unisono_core::{DType, OpDesc, Reason};

use super::builder::{Builder, code, for_output, word};
use super::map;
use super::rounds::{Flash, TILE_KEYS, reach, tokens_of};
use super::window::{Piece, View, windows};
use crate::caps::Caps;
use crate::launch::{Binding, Source};

/// The most bytes that the parts of a launch leave: more rows are taken in several launches.
const MOST_PART_BYTES: u64 = 64 << 20;

pub(super) fn names(desc: &OpDesc, op: &Attention, caps: &Caps) -> Vec<&'static str> {
    let (q, k) = (&desc.inputs[0], &desc.inputs[1]);
    let (batch, heads, tokens, head_dim) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3]);
    let kv_heads = k.shape[1].max(1);
    let kv = op.kv_len(&desc.inputs).min(op.window.map_or(usize::MAX, |w| w as usize));
    let group = heads / kv_heads;
    let rows = tokens * group;
    let workgroups = batch * kv_heads * rows.div_ceil(4);
    let profile = caps.profile;
    let split = workgroups < profile.attention_workgroups && kv >= 2 * profile.attention_split_keys;
    // Rows of one tile that read different caches wait for each other.
    let alike = if op.sequences && tokens <= 64 { group } else { rows };
    let mut names = match alike {
        0..=4 => vec!["attention_4", "attention_8", "attention_16"],
        5..=8 => vec!["attention_8", "attention_16", "attention_4"],
        _ if head_dim <= 128 => vec!["attention_16", "attention_8", "attention_4"],
        _ => vec!["attention_8", "attention_4", "attention_16"],
    };
    names.insert(if split { 0 } else { names.len() }, "attention_split");
    // All invocations of a subgroup are of one team.
    if caps.subgroups.is_some_and(|(_, most)| u64::from(most) <= TILE_KEYS) {
        let at = if profile.direct_matmul { 0 } else { names.len() };
        let passing: Vec<_> = names.iter().map(|name| with_subgroups(name)).collect();
        names.splice(at..at, passing);
    }
    names
}

/// The kernel that passes elements between the invocations of a subgroup.
fn with_subgroups(name: &str) -> &'static str {
    match name {
        "attention_16" => "attention_subgroups_16",
        "attention_8" => "attention_subgroups_8",
        "attention_4" => "attention_subgroups_4",
        _ => "attention_subgroups_split",
    }
}

/// An operand of the shared binding: its first word there, and its strides.
#[derive(Clone, Copy, Debug, Default)]
struct Small {
    base: u64,
    strides: [u64; 2],
}

/// The small operands and where they are bound.
struct More {
    sinks: Small,
    table: Small,
    sequences: Small,
    binding: Option<Binding>,
}

/// Attention under construction.
struct Plan<'a> {
    name: &'a str,
    op: Attention,
    rows_per_tile: u64,
    group: u64,
    tokens: u64,
    kv: u64,
    head_dim: u64,
    v_dim: u64,
    /// y, q, k, v, mask, limits over batch, key-value head and token.
    views: [Option<View>; 6],
    /// Of k and v, in what the shader counts.
    cache_strides: [[u64; 4]; 2],
    /// Keys of a page (0 for contiguous caches), pages, caches.
    pages: [u64; 3],
    more: More,
    /// How keys are masked, as in `attention/flash.wesl`.
    masking: u32,
    constants: Vec<(&'static str, f64)>,
}

pub(super) fn build(b: &mut Builder<'_>, name: &str, op: &Attention) -> Result<(), Reason> {
    let (q, k, v, y) = (&b.input(0).desc, &b.input(1).desc, &b.input(2).desc, &b.output(0).desc);
    let (kv_heads, rows, head_dim, v_dim) = (k.shape[1], k.shape[2], q.shape[3], v.shape[3]);
    let (rows_per_tile, most) = match name {
        "attention_16" | "attention_subgroups_16" => (16, 128),
        "attention_8" | "attention_subgroups_8" => (8, 256),
        _ => (4, 256),
    };
    if head_dim > most || v_dim > 256 {
        return Err(Reason::Limit(format!(
            "{name} takes head_dim up to {most} and v_dim up to 256, not {head_dim} and {v_dim}"
        )));
    }
    let at = op.inputs();
    let inputs: Vec<_> = b.step.inputs.iter().map(|o| o.desc).collect();
    let kv = op.kv_len(&inputs);
    let group = q.shape[1] / kv_heads;
    // Query-like operands have `group` heads for each key-value head.
    let queries = |view: View, s: &[usize], width: usize| {
        let inner = (group - 1) * s[1] + width.saturating_sub(1) * s[3] + 1;
        view.with(vec![s[0] as u64, (group * s[1]) as u64, s[2] as u64], inner as u64)
    };
    // Any query may read any page, and any cache where it names one.
    let anywhere = op.paged || op.sequences;
    let cache = |view: View, width: usize| {
        let s = view.strides.clone();
        let width = width / view.dtype.block_elements();
        let others = if anywhere { (k.shape[0] as u64 - 1) * s[0] } else { 0 };
        let inner = others + (rows as u64 - 1) * s[2] + (width as u64).saturating_sub(1) * s[3] + 1;
        view.with(vec![if anywhere { 0 } else { s[0] }, s[1], 0], inner)
    };
    let strides = |view: View| {
        let scale = view.scale();
        [0, 1, 2, 3].map(|d| view.strides[d] * scale)
    };
    let mask = at.mask.map_or((0, DType::F32), |i| (1 + u32::from(inputs[i].dtype == DType::Bool), inputs[i].dtype));
    let visibility = match op.visibility {
        Visibility::All => 0,
        Visibility::Causal => 1,
        Visibility::Limits => 2,
    };
    let constants = vec![
        ("Y", code(y.dtype)),
        ("A", code(q.dtype)),
        ("B", cache_code(k.dtype)),
        ("C", cache_code(v.dtype)),
        (
            "COLUMNS",
            match v_dim {
                0..=64 => 1.0,
                65..=128 => 2.0,
                _ => 4.0,
            },
        ),
    ];
    let mut views = [
        Some(queries(b.output_view(0), &y.strides, v_dim)),
        (!q.is_empty()).then(|| queries(b.input_view(0), &q.strides, head_dim)),
        (!k.is_empty()).then(|| cache(b.input_view(1), head_dim)),
        (!v.is_empty()).then(|| cache(b.input_view(2), v_dim)),
        None,
        None,
    ];
    if let Some(i) = at.mask {
        let d = &inputs[i];
        views[4] = (!d.is_empty()).then(|| queries(b.input_view(i), &d.strides, kv));
    }
    if let Some(i) = at.limits {
        let d = &inputs[i];
        views[5] = Some(b.input_view(i).with(vec![d.strides[0] as u64, 0, d.strides[1] as u64], 1));
    }
    let cache_strides = [strides(b.input_view(1)), strides(b.input_view(2))];
    let caches = at.block_table.map_or(k.shape[0], |i| inputs[i].shape[0]);
    let pages = [if op.paged { rows as u64 } else { 0 }, k.shape[0] as u64, caches as u64];
    let plan = Plan {
        name,
        op: *op,
        rows_per_tile,
        group: group as u64,
        tokens: q.shape[2] as u64,
        kv: kv as u64,
        head_dim: head_dim as u64,
        v_dim: v_dim as u64,
        views,
        cache_strides,
        pages,
        more: more(b, op)?,
        masking: mask.0 | visibility << 4 | (code(mask.1) as u32) << 8,
        constants,
    };
    let space = [q.shape[0] as u64, kv_heads as u64, plan.tokens];
    let views: Vec<&View> = plan.views.iter().flatten().collect();
    let pieces = windows(&space, &views, b.caps)?;
    if !name.ends_with("split") {
        return pieces.iter().try_for_each(|piece| plan.launch(b, piece, None));
    }
    let mut small = Vec::new();
    for piece in pieces {
        plan.cut(b, piece, &mut small)?;
    }
    let bytes = small.iter().map(|(piece, parts)| plan.part_bytes(piece, parts)).max().unwrap_or(0);
    let source = b.scratch(bytes)?;
    small.iter().try_for_each(|(piece, parts)| plan.launch(b, piece, Some((*parts, source))))
}

/// The code of the type of keys or values.
fn cache_code(dtype: DType) -> f64 {
    if dtype == DType::Q8_0 { 4.0 } else { code(dtype) }
}

/// Puts sinks, block table and sequences behind one binding.
fn more(b: &mut Builder<'_>, op: &Attention) -> Result<More, Reason> {
    let at = op.inputs();
    let list = [at.sinks, at.block_table, at.sequences].map(|i| i.filter(|&i| !b.input(i).desc.is_empty()));
    let mut small = [Small::default(); 3];
    let mut present = list.iter().flatten();
    let binding = match (present.next(), present.next()) {
        (None, _) => None,
        (Some(&only), None) if b.input(only).desc.dtype.block_bytes() == 4 => {
            let d = b.input(only).desc;
            let view = b.input_view(only).with(vec![0], d.span() as u64);
            let piece = windows(&[1], &[&view], b.caps)?.remove(0);
            let (binding, base) = view.bind(&piece, b.caps);
            let stride = |i: usize| d.strides.get(i).map_or(0, |&s| s as u64);
            let place = list.iter().position(Option::is_some).unwrap_or(0);
            small[place] = Small { base: u64::from(base), strides: [stride(0), stride(1)] };
            Some(binding)
        }
        _ => {
            let words = |i: usize| b.input(i).desc.elements() as u64;
            let total: u64 = list.iter().flatten().map(|&i| words(i)).sum();
            let source = b.scratch(total * 4)?;
            let mut start = 0;
            for (place, i) in list.into_iter().enumerate().filter_map(|(place, i)| Some((place, i?))) {
                let d = b.input(i).desc;
                let sizes: Vec<u64> = d.shape.iter().map(|&n| n as u64).collect();
                let width = sizes.get(1).copied().unwrap_or(1);
                let strides = [width, 1];
                let dtype = if d.dtype.is_float() { DType::F32 } else { DType::U32 };
                let row = strides[2 - sizes.len()..].to_vec();
                let to = View { source, dtype, start, strides: row.clone(), inner: 1 };
                map::copy_over(b, &sizes, &to, &b.input_view(i))?;
                small[place] = Small { base: start, strides: [row[0], row.get(1).copied().unwrap_or(0)] };
                start += sizes.iter().product::<u64>();
            }
            Some(Binding { source, offset: 0, size: (total * 4).next_multiple_of(16) })
        }
    };
    let [sinks, table, sequences] = small;
    Ok(More { sinks, table, sequences, binding })
}

/// How the keys are split: parts, and the keys of each.
#[derive(Clone, Copy, Debug)]
struct Parts {
    count: u64,
    keys: u64,
}

impl Plan<'_> {
    /// Adds a piece with its parts to `done`, or its halves where the parts leave too much.
    fn cut(&self, b: &Builder<'_>, piece: Piece, done: &mut Vec<(Piece, Parts)>) -> Result<(), Reason> {
        let parts = self.parts(b, &piece)?;
        let most = b.caps.max_storage_buffer_binding_size.min(MOST_PART_BYTES);
        let longest = (0..piece.sizes.len()).max_by_key(|&d| piece.sizes[d]).filter(|&d| piece.sizes[d] > 1);
        match longest.filter(|_| self.part_bytes(&piece, &parts) > most) {
            None => done.push((piece, parts)),
            Some(d) => {
                let [low, high] = piece.halves(d);
                self.cut(b, low, done)?;
                self.cut(b, high, done)?;
            }
        }
        Ok(())
    }

    /// What the parts of a piece leave: sums of each row, its largest score and the sum of its weights.
    fn part_bytes(&self, piece: &Piece, parts: &Parts) -> u64 {
        piece.count() * self.group * parts.count * (self.v_dim + 2) * 4
    }

    /// Launches a piece; where it is split, with its parts and where they are left.
    fn launch(&self, b: &mut Builder<'_>, piece: &Piece, split: Option<(Parts, Source)>) -> Result<(), Reason> {
        let (batch, kv_heads, tokens) = (piece.sizes[0], piece.sizes[1], piece.sizes[2]);
        let rows = tokens * self.group;
        let tiles = batch * kv_heads * rows.div_ceil(self.rows_per_tile);
        let whole = Parts { count: 1, keys: u64::from(u32::MAX >> 1) };
        let Parts { count: splits, keys: split_keys } = split.map_or(whole, |(parts, _)| parts);
        let split = split.map(|(_, source)| source);
        let y_dtype = b.output(0).desc.dtype;
        let kernel = if split.is_some() { self.name.to_owned() } else { for_output(self.name, y_dtype) };
        let mut bindings = Vec::new();
        let mut bases = [0; 6];
        for (i, view) in self.views.iter().enumerate() {
            match view {
                Some(view) => {
                    let (binding, base) = view.bind(piece, b.caps);
                    bindings.push(binding);
                    bases[i] = base;
                }
                None => bindings.push(b.dummy(&kernel)?),
            }
        }
        bindings.push(self.more.binding.map_or_else(|| b.dummy(&kernel), Ok)?);
        let y = (bindings[0], bases[0]);
        let mut constants = self.constants.clone();
        if let Some(source) = split {
            let bytes = self.part_bytes(piece, &Parts { count: splits, keys: split_keys });
            bindings[0] = Binding { source, offset: 0, size: bytes.next_multiple_of(16) };
            constants.retain(|&(name, _)| name != "Y");
        }
        let groups = tiles * splits;
        let causal = self.kv as i64 - self.tokens as i64 + piece.start[2] as i64;
        let causal = i32::try_from(causal).map_err(|_| Reason::Limit("the sequence is too long".into()))?;
        let scale = self.op.softcap.map_or(self.op.scale.0, |cap| self.op.scale.0 / cap.0);
        let mut params = vec![word(groups)?, word(kv_heads)?, word(self.group)?, word(tokens)?];
        params.extend([word(self.kv)?, word(self.head_dim)?, word(self.v_dim)?, scale.to_bits()]);
        params.extend([word(rows.div_ceil(self.rows_per_tile))?, word(splits)?, word(split_keys)?]);
        params.push(causal as u32);
        params.extend(&bases[..4]);
        let strides = |d: &unisono_core::TensorDesc| d.strides.iter().map(|&s| s as u64).collect::<Vec<_>>();
        let mask = self.op.inputs().mask.map_or_else(|| vec![0; 4], |i| strides(&b.input(i).desc));
        let [k, v] = self.cache_strides;
        for list in [strides(&b.output(0).desc), strides(&b.input(0).desc), k.to_vec(), v.to_vec(), mask] {
            for s in list {
                params.push(word(s)?);
            }
        }
        let limits = self.views[5].as_ref().map_or([0, 0], |v| [v.strides[0], v.strides[2]]);
        params.extend([word(limits[0])?, word(limits[1])?, bases[5], bases[4]]);
        let cap = self.op.softcap.map_or(0, |cap| cap.0.to_bits());
        params.extend([self.op.window.unwrap_or(u32::MAX), cap, word(self.pages[0])?, word(self.pages[1])?]);
        let (table, sequences) = (&self.more.table, &self.more.sequences);
        // A batch counts from the first of the piece; the number of a sequence is global.
        let table_at = if self.op.sequences { 0 } else { piece.start[0] * table.strides[0] };
        params.extend([word(table.base + table_at)?, word(table.strides[0])?, word(table.strides[1])?]);
        params.push(word(self.pages[2])?);
        let [sb, st] = sequences.strides;
        params.extend([word(sequences.base + piece.start[0] * sb + piece.start[2] * st)?, word(sb)?, word(st)?]);
        params.push(u32::from(self.op.sequences));
        let sinks = self.sinks(piece)?;
        params.extend([sinks[0], sinks[1], u32::from(self.op.sinks), self.masking]);
        let (parts, more) = (bindings[0], bindings[6]);
        b.launch(&kernel, &constants, bindings, params, groups)?;
        if split.is_some() { self.combine(b, piece, [parts, more], y, splits) } else { Ok(()) }
    }

    /// First sink of a piece and the stride over heads.
    fn sinks(&self, piece: &Piece) -> Result<[u32; 2], Reason> {
        let Small { base, strides: [stride, _] } = self.more.sinks;
        Ok([word(base + piece.start[1] * self.group * stride)?, word(stride)?])
    }

    /// How many parts the keys of a piece fall into, and the keys of each. The last part takes what
    /// is left, so a window needs parts for its own length only. No part has more keys than the loops
    /// of a workgroup may visit.
    fn parts(&self, b: &Builder<'_>, piece: &Piece) -> Result<Parts, Reason> {
        let profile = b.caps.profile;
        let tiles = piece.sizes[0] * piece.sizes[1] * (piece.sizes[2] * self.group).div_ceil(self.rows_per_tile);
        let window = self.op.window.map_or(u64::MAX, u64::from);
        let kv = self.kv.min(window.saturating_add(TILE_KEYS));
        let wanted = (profile.attention_workgroups as u64).div_ceil(tiles).clamp(2, 64);
        let least = (profile.attention_split_keys as u64).min(kv / 2).max(1);
        let tokens = tokens_of(self.rows_per_tile, self.group, piece.sizes[2]);
        let most = self.most_keys(b, tokens).ok_or_else(|| {
            Reason::Limit(format!("a tile of heads of {} is too many rounds for the device's loops", self.head_dim))
        })?;
        let keys = kv.div_ceil(wanted).max(least).next_multiple_of(TILE_KEYS).min(most);
        let longest = reach(self.kv, window, self.op.visibility == Visibility::Limits, tokens);
        let count = kv.div_ceil(keys).max(longest.saturating_sub(most).div_ceil(keys) + 1);
        Ok(Parts { count, keys })
    }

    /// The most keys that a workgroup may visit of each cache, where a tile has so many tokens.
    fn most_keys(&self, b: &Builder<'_>, tokens: u64) -> Option<u64> {
        let constant = |name| self.constants.iter().find(|(other, _)| *other == name).map_or(0, |&(_, v)| v as u64);
        let subgroup = b.caps.subgroups.filter(|_| self.name.contains("subgroups"));
        let flash = Flash {
            teams: Flash::teams_of(self.name),
            columns: constant("COLUMNS"),
            head_dim: self.head_dim,
            blocks: constant("B") == 4,
            subgroup: subgroup.map(|(least, _)| u64::from(least)),
            runs: if self.op.sequences { tokens } else { 1 },
            keys: 0,
        };
        flash.most_keys(b.caps.loop_rounds)
    }

    fn combine(
        &self,
        b: &mut Builder<'_>,
        piece: &Piece,
        [parts, more]: [Binding; 2],
        (y, y_base): (Binding, u32),
        splits: u64,
    ) -> Result<(), Reason> {
        debug_assert!(matches!(parts.source, Source::Scratch(_)));
        let (kv_heads, tokens) = (piece.sizes[1], piece.sizes[2]);
        let rows = piece.sizes[0] * kv_heads * tokens * self.group;
        let d = b.output(0).desc;
        let mut params = vec![word(rows)?, word(kv_heads)?, word(self.group)?, word(tokens)?];
        params.extend([word(splits)?, word(self.v_dim)?, y_base, u32::from(self.op.sinks)]);
        for &s in &*d.strides {
            params.push(word(s as u64)?);
        }
        params.extend(self.sinks(piece)?);
        let constants = [("Y", code(d.dtype)), ("A", code(DType::F32)), ("B", code(DType::U32))];
        b.launch(&for_output("attention_combine", d.dtype), &constants, vec![y, parts, more], params, rows)
    }
}
