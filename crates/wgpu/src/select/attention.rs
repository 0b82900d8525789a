//! Attention with a running softmax. `attention_16`, `_8` and `_4` take that many rows (queries of
//! all heads that share a key-value head) in a workgroup; `attention_split` also splits the keys over
//! workgroups, for the few rows of a decode step, and joins the parts in a second launch.

use unisono_core::op::{Attention, Visibility};
use unisono_core::{DType, OpDesc, Reason};

use super::builder::{Builder, code, for_output, word};
use super::window::{Piece, View, windows};
use crate::caps::Caps;
use crate::launch::{Binding, Source};

/// Keys of a tile (`KEYS` in the shader).
const TILE_KEYS: u64 = 64;

pub(super) fn names(desc: &OpDesc, caps: &Caps) -> Vec<&'static str> {
    let (q, k) = (&desc.inputs[0], &desc.inputs[1]);
    let (batch, heads, tokens, head_dim) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3]);
    let (kv_heads, kv) = (k.shape[1].max(1), k.shape[2]);
    let rows = tokens * (heads / kv_heads);
    let workgroups = batch * kv_heads * rows.div_ceil(4);
    let profile = caps.profile;
    let split = workgroups < profile.attention_workgroups && kv >= 2 * profile.attention_split_keys;
    let mut names = match rows {
        0..=4 => vec!["attention_4", "attention_8", "attention_16"],
        5..=8 => vec!["attention_8", "attention_16", "attention_4"],
        _ if head_dim <= 128 => vec!["attention_16", "attention_8", "attention_4"],
        _ => vec!["attention_8", "attention_4", "attention_16"],
    };
    names.insert(if split { 0 } else { names.len() }, "attention_split");
    names
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
    constants: Vec<(&'static str, f64)>,
}

pub(super) fn build(b: &mut Builder<'_>, name: &str, op: &Attention) -> Result<(), Reason> {
    let plain = Attention { mask: op.mask, ..Attention::new(op.scale.0, op.visibility) };
    if *op != plain || op.inputs().mask.is_some_and(|i| b.input(i).desc.dtype == DType::Bool) {
        return Err(Reason::Op("softcap, windows, sinks, boolean masks, pages and sequences have no kernel".into()));
    }
    let (q, k, v, y) = (&b.input(0).desc, &b.input(1).desc, &b.input(2).desc, &b.output(0).desc);
    let (kv_heads, kv, head_dim, v_dim) = (k.shape[1], k.shape[2], q.shape[3], v.shape[3]);
    let (rows_per_tile, most) = match name {
        "attention_16" => (16, 128),
        "attention_8" => (8, 256),
        _ => (4, 256),
    };
    if head_dim > most || v_dim > 256 {
        return Err(Reason::Limit(format!(
            "{name} takes head_dim up to {most} and v_dim up to 256, not {head_dim} and {v_dim}"
        )));
    }
    let group = q.shape[1] / kv_heads;
    // Query-like operands have `group` heads for each key-value head.
    let queries = |view: View, s: &[usize], width: usize| {
        let inner = (group - 1) * s[1] + width.saturating_sub(1) * s[3] + 1;
        view.with(vec![s[0] as u64, (group * s[1]) as u64, s[2] as u64], inner as u64)
    };
    let keys = |view: View, s: &[usize], width: usize| {
        let inner = kv.saturating_sub(1) * s[2] + width.saturating_sub(1) * s[3] + 1;
        view.with(vec![s[0] as u64, s[1] as u64, 0], inner as u64)
    };
    let mut constants = vec![
        ("Y", code(y.dtype)),
        ("A", code(q.dtype)),
        ("B", code(k.dtype)),
        ("C", code(v.dtype)),
        ("MASK", f64::from(u8::from(op.mask))),
        (
            "VISIBILITY",
            match op.visibility {
                Visibility::All => 0.0,
                Visibility::Causal => 1.0,
                Visibility::Limits => 2.0,
            },
        ),
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
        (!k.is_empty()).then(|| keys(b.input_view(1), &k.strides, head_dim)),
        (!v.is_empty()).then(|| keys(b.input_view(2), &v.strides, v_dim)),
        None,
        None,
    ];
    let mut next = 3;
    if op.mask {
        let d = &b.input(next).desc;
        constants.push(("D", code(d.dtype)));
        views[4] = (!d.is_empty()).then(|| queries(b.input_view(next), &d.strides, kv));
        next += 1;
    }
    if op.visibility == Visibility::Limits {
        let d = &b.input(next).desc;
        views[5] = Some(b.input_view(next).with(vec![d.strides[0] as u64, 0, d.strides[1] as u64], 1));
    }
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
        constants,
    };
    let space = [q.shape[0] as u64, kv_heads as u64, plan.tokens];
    let views: Vec<&View> = plan.views.iter().flatten().collect();
    windows(&space, &views, b.caps)?.iter().try_for_each(|piece| plan.launch(b, piece))
}

impl Plan<'_> {
    fn launch(&self, b: &mut Builder<'_>, piece: &Piece) -> Result<(), Reason> {
        let (batch, kv_heads, tokens) = (piece.sizes[0], piece.sizes[1], piece.sizes[2]);
        let rows = tokens * self.group;
        let tiles = batch * kv_heads * rows.div_ceil(self.rows_per_tile);
        let split = self.name == "attention_split";
        let (splits, split_keys) = if split { self.parts(b, tiles) } else { (1, u64::from(u32::MAX >> 1)) };
        let y_dtype = b.output(0).desc.dtype;
        let kernel = if split { self.name.to_owned() } else { for_output(self.name, y_dtype) };
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
        let y = (bindings[0], bases[0]);
        let mut constants = self.constants.clone();
        if split {
            let bytes = batch * kv_heads * rows * splits * (self.v_dim + 2) * 4;
            let source = b.scratch(bytes)?;
            bindings[0] = Binding { source, offset: 0, size: bytes.next_multiple_of(16) };
            constants.retain(|&(name, _)| name != "Y");
        }
        let groups = tiles * splits;
        let causal = self.kv as i64 - self.tokens as i64 + piece.start[2] as i64;
        let causal = i32::try_from(causal).map_err(|_| Reason::Limit("the sequence is too long".into()))?;
        let mut params = vec![word(groups)?, word(kv_heads)?, word(self.group)?, word(tokens)?];
        params.extend([word(self.kv)?, word(self.head_dim)?, word(self.v_dim)?, self.op.scale.0.to_bits()]);
        params.extend([word(rows.div_ceil(self.rows_per_tile))?, word(splits)?, word(split_keys)?]);
        params.push(causal as u32);
        params.extend(&bases[..4]);
        let descs = [&b.output(0).desc, &b.input(0).desc, &b.input(1).desc, &b.input(2).desc];
        for d in descs {
            for &s in &*d.strides {
                params.push(word(s as u64)?);
            }
        }
        let mask = if self.op.mask { b.input(3).desc.strides.to_vec() } else { vec![0; 4] };
        for s in mask {
            params.push(word(s as u64)?);
        }
        let limits = self.views[5].as_ref().map_or([0, 0], |v| [v.strides[0], v.strides[2]]);
        params.extend([bases[4], bases[5], word(limits[0])?, word(limits[1])?]);
        let parts = bindings[0];
        b.launch(&kernel, &constants, bindings, params, groups)?;
        if split { self.combine(b, piece, parts, y, splits) } else { Ok(()) }
    }

    /// How many parts the keys fall into, and the keys of each.
    fn parts(&self, b: &Builder<'_>, tiles: u64) -> (u64, u64) {
        let profile = b.caps.profile;
        let wanted = (profile.attention_workgroups as u64).div_ceil(tiles).clamp(2, 64);
        let least = (profile.attention_split_keys as u64).min(self.kv / 2).max(1);
        let keys = self.kv.div_ceil(wanted).max(least).next_multiple_of(TILE_KEYS);
        (self.kv.div_ceil(keys).max(1), keys)
    }

    fn combine(
        &self,
        b: &mut Builder<'_>,
        piece: &Piece,
        parts: Binding,
        (y, y_base): (Binding, u32),
        splits: u64,
    ) -> Result<(), Reason> {
        debug_assert!(matches!(parts.source, Source::Scratch(_)));
        let (kv_heads, tokens) = (piece.sizes[1], piece.sizes[2]);
        let rows = piece.sizes[0] * kv_heads * tokens * self.group;
        let d = b.output(0).desc;
        let mut params = vec![word(rows)?, word(kv_heads)?, word(self.group)?, word(tokens)?];
        params.extend([word(splits)?, word(self.v_dim)?, y_base, 0]);
        for &s in &*d.strides {
            params.push(word(s as u64)?);
        }
        let constants = [("Y", code(d.dtype)), ("A", code(DType::F32))];
        b.launch(&for_output("attention_combine", d.dtype), &constants, vec![y, parts], params, rows)
    }
}
