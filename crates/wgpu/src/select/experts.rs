//! Matrix products of a mixture of experts: `experts_rows` computes each row on its own, for the few
//! of a decode step; `experts_tiled` gathers the rows of each expert and reuses its weight for them.
//! Both take weights as floats or in blocks. The sorting of rows by expert happens on the device,
//! inside the kernel: ids never come back to the host.

use unisono_core::{OpDesc, Reason};

use super::builder::{Builder, block_constants, code, for_output, word};
use super::rounds::experts_tiled;
use super::window::{Piece, View, windows};
use crate::caps::Caps;

/// Columns of a tile (`EDGE` in the shader).
const TILE_COLUMNS: u64 = 32;
/// Invocations of a workgroup of `experts_rows`, each team of them for two columns.
const GROUP: u64 = 64;

pub(super) fn names(desc: &OpDesc, _caps: &Caps) -> Vec<&'static str> {
    let (rows, experts) = (desc.inputs[2].elements(), desc.inputs[1].shape[0]);
    // Tiles pay from a few rows of each expert on.
    if rows >= 4 * experts.max(1) {
        vec!["experts_tiled", "experts_rows"]
    } else {
        vec!["experts_rows", "experts_tiled"]
    }
}

/// Rows of a tile.
const TILE_ROWS: u64 = 32;

/// A product under construction.
struct Product {
    variant: String,
    constants: Vec<(&'static str, f64)>,
    tiled: bool,
    /// Columns that one workgroup computes.
    columns: u64,
    k: u64,
    experts: u64,
    y: View,
    ids: View,
    /// Nothing to read where k is 0 or there are no experts.
    ab: Option<(View, View)>,
    /// Strides of a and b over k.
    steps: [u64; 2],
}

pub(super) fn build(b: &mut Builder<'_>, name: &str) -> Result<(), Reason> {
    let (a, w, y) = (&b.input(0).desc, &b.input(1).desc, &b.output(0).desc);
    let (k, n) = (a.shape[2] as u64, y.shape[2] as u64);
    let block = w.dtype.is_block();
    let along_k = block || w.strides[1] == 1 && w.strides[2] != 1;
    let lanes = if along_k { b.caps.profile.matvec_lanes } else { 1 };
    let tiled = name == "experts_tiled";
    let mut constants = vec![
        ("Y", code(y.dtype)),
        ("A", code(a.dtype)),
        ("B", code(w.dtype)),
        ("C", code(b.input(2).desc.dtype)),
        ("LANES", f64::from(lanes)),
        ("B_ALONG_K", f64::from(u8::from(along_k))),
        ("UNROLL", f64::from(u8::from(b.caps.profile.unroll))),
    ];
    constants.extend(block_constants(w.dtype));
    // The space: tokens, used, n, experts.
    let reach = |n: u64, stride: u64| n.saturating_sub(1) * stride + 1;
    let over = |view: View, strides: [u64; 4], inner: u64| view.with(strides.to_vec(), inner);
    let strides = |view: &View| [view.strides[0], view.strides[1], view.strides.get(2).copied().unwrap_or(0)];
    let (y, ids, a, w) = (b.output_view(0), b.input_view(2), b.input_view(0), b.input_view(1));
    let ([y0, y1, y2], [i0, i1, _], [a0, a1, a2], [b0, b1, b2]) =
        (strides(&y), strides(&ids), strides(&a), strides(&w));
    let unit = w.dtype.block_elements() as u64;
    let empty = b.input(1).desc.is_empty();
    let product = Product {
        variant: for_output(&if block { format!("blocks_{name}") } else { name.to_owned() }, y.dtype),
        constants,
        tiled,
        columns: if tiled { TILE_COLUMNS } else { 2 * GROUP / u64::from(lanes) },
        k,
        experts: if empty { 0 } else { b.input(1).desc.shape[0] as u64 },
        y: over(y, [y0, y1, y2, 0], 1),
        ids: over(ids, [i0, i1, 0, 0], 1),
        ab: (!empty).then(|| (over(a, [a0, a1, 0, 0], reach(k, a2)), over(w, [0, 0, b2, b0], reach(k / unit, b1)))),
        steps: [a2, b1],
    };
    let ids = &b.input(2).desc;
    let space = [ids.shape[0] as u64, ids.shape[1] as u64, n, product.experts.max(1)];
    let views: Vec<&View> =
        [&product.y, &product.ids].into_iter().chain(product.ab.iter().flat_map(|(a, b)| [a, b])).collect();
    let most = if tiled { most_rows(k, b.caps)? } else { u64::MAX };
    let pieces = windows(&space, &views, b.caps)?;
    pieces.iter().flat_map(|piece| split_rows(piece, most)).try_for_each(|piece| product.launch(b, &piece))
}

/// Rows of one launch of tiles, all of which may choose the same expert.
fn most_rows(k: u64, caps: &Caps) -> Result<u64, Reason> {
    let none = experts_tiled(k, 0);
    let tile = experts_tiled(k, TILE_ROWS) - none;
    match caps.loop_rounds.saturating_sub(none) / tile {
        0 => Err(Reason::Limit(format!("{k} steps of k are too many for a tile of an expert"))),
        tiles => Ok(tiles * TILE_ROWS),
    }
}

/// Cuts a piece along tokens, and along the experts of a token, until it has at most `most` rows.
fn split_rows(piece: &Piece, most: u64) -> Vec<Piece> {
    let used = piece.sizes[1].min(most);
    let tokens = (most / used.max(1)).max(1);
    let mut pieces = Vec::new();
    for token in (0..piece.sizes[0]).step_by(tokens.min(piece.sizes[0]) as usize) {
        for first in (0..piece.sizes[1]).step_by(used as usize) {
            let mut part = piece.clone();
            part.start[0] += token;
            part.start[1] += first;
            part.sizes[0] = tokens.min(piece.sizes[0] - token);
            part.sizes[1] = used.min(piece.sizes[1] - first);
            pieces.push(part);
        }
    }
    pieces
}

impl Product {
    fn launch(&self, b: &mut Builder<'_>, piece: &Piece) -> Result<(), Reason> {
        let [tokens, used, n, experts] = [piece.sizes[0], piece.sizes[1], piece.sizes[2], piece.sizes[3]];
        let (first, end) = match &self.ab {
            Some(_) => (piece.start[3], piece.start[3] + experts),
            None => (0, 0),
        };
        let (y, y_base) = self.y.bind(piece, b.caps);
        let (ids, ids_base) = self.ids.bind(piece, b.caps);
        let (a, w) = match &self.ab {
            Some((a, w)) => (a.bind(piece, b.caps), w.bind(piece, b.caps)),
            None => ((b.dummy(&self.variant)?, 0), (b.dummy(&self.variant)?, 0)),
        };
        let rows = tokens * used;
        let tiles_n = n.div_ceil(self.columns);
        // The first window also stores the zeros of ids that are out of range.
        let choices = end - first + u64::from(first == 0);
        let tiles = tiles_n * if self.tiled { choices } else { rows };
        let zero = [0; 4];
        let a_strides = self.ab.as_ref().map_or(&zero[..], |(a, _)| &a.strides);
        let (w_strides, w_scale) = self.ab.as_ref().map_or((&zero[..], 1), |(_, w)| (&w.strides, w.scale()));
        let mut params = Vec::new();
        for value in [tiles, tiles_n, n, self.k, rows, used, self.experts, 0] {
            params.push(word(value)?);
        }
        params.extend([y_base, a.1, w.1, ids_base]);
        let y_strides = [self.y.strides[0], self.y.strides[1], self.y.strides[2], 0];
        let a_strides = [a_strides[0], a_strides[1], self.steps[0], 0];
        let w_strides = [w_strides[3] * w_scale, self.steps[1], w_strides[2] * w_scale, 0];
        let ids_strides = [self.ids.strides[0], self.ids.strides[1], first, end];
        for value in [y_strides, a_strides, w_strides, ids_strides].into_iter().flatten() {
            params.push(word(value)?);
        }
        b.launch(&self.variant, &self.constants, vec![y, a.0, w.0, ids], params, tiles)
    }
}
