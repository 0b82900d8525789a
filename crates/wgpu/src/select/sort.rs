//! Order. Rows of up to 2,048 elements are sorted by one workgroup (`argsort_tile`, `topk_tile`).
//! Longer ones leave sorted tiles of (key, index) entries in scratch memory, which are then merged
//! in pairs (`argsort_merge`, `topk_merge`), or of which each tile keeps its first `k` until one tile
//! is left (`topk_tiles`).

use unisono_core::op::{ArgSort, TopK};
use unisono_core::{DType, OpDesc, Reason};

use super::builder::{Builder, code, for_output, word};
use super::reduce::keys;
use super::rows::{GROUP, outside, row_operand};
use super::window::{Piece, View, windows};
use crate::launch::{Binding, Source};

/// Entries that a workgroup sorts (`TILE` in the shader).
const TILE: u64 = 2048;
/// The most entries that a tile keeps: half of them, so that each launch halves the rest.
const MOST_KEPT: u64 = TILE / 2;

pub(super) fn argsort_names(desc: &OpDesc) -> Vec<&'static str> {
    let n = desc.inputs[0].shape.last().map_or(0, |&n| n as u64);
    if n <= TILE { vec!["argsort_tile"] } else { vec!["argsort_merge"] }
}

pub(super) fn topk_names(desc: &OpDesc, op: &TopK) -> Vec<&'static str> {
    let n = desc.inputs[0].shape.last().map_or(0, |&n| n as u64);
    match n {
        0..=TILE => vec!["topk_tile"],
        _ if op.k as u64 <= MOST_KEPT => vec!["topk_tiles", "topk_merge"],
        _ => vec!["topk_merge"],
    }
}

/// A sort under construction.
struct Sort {
    n: u64,
    k: u64,
    keys: [(&'static str, f64); 2],
    /// y (indices, or values), x, and z (indices beside values).
    views: Vec<View>,
    along: [u64; 3],
}

/// What one launch does.
struct Stage<'a> {
    kernel: &'a str,
    /// Entries of a row, tiles of a row, entries that a tile keeps, entries of a row that are left.
    n: u64,
    tiles: u64,
    keep: u64,
    left: u64,
    run: u64,
    from: Option<Source>,
    to: Option<Source>,
}

pub(super) fn argsort(b: &mut Builder<'_>, name: &str, op: &ArgSort) -> Result<(), Reason> {
    let (x, y) = (&b.input(0).desc, &b.output(0).desc);
    let axis = x.rank() - 1;
    let n = x.shape[axis] as u64;
    let views = vec![row_operand(b.output_view(0), y, axis, n).view, row_operand(b.input_view(0), x, axis, n).view];
    let along = [y.strides[axis] as u64, x.strides[axis] as u64, 0];
    let sort = Sort { n, k: n, keys: keys(x, op.descending), views, along };
    sort.launch(b, name, "argsort_tile", "argsort_merge")
}

pub(super) fn topk(b: &mut Builder<'_>, name: &str, op: &TopK) -> Result<(), Reason> {
    let (x, values, indices) = (&b.input(0).desc, &b.output(0).desc, &b.output(1).desc);
    let axis = x.rank() - 1;
    let (n, k) = (x.shape[axis] as u64, op.k as u64);
    let views = vec![
        row_operand(b.output_view(0), values, axis, k).view,
        row_operand(b.input_view(0), x, axis, n).view,
        row_operand(b.output_view(1), indices, axis, k).view,
    ];
    let along = [values, x, indices].map(|d| d.strides[axis] as u64);
    let sort = Sort { n, k, keys: keys(x, !op.smallest), views, along };
    sort.launch(b, name, if name == "topk_tile" { name } else { "topk_tile_again" }, "topk_merge")
}

impl Sort {
    fn launch(&self, b: &mut Builder<'_>, name: &str, tile: &str, merge: &str) -> Result<(), Reason> {
        let sizes = outside(&b.input(0).desc, b.input(0).desc.rank() - 1);
        if self.n <= TILE {
            let views: Vec<&View> = self.views.iter().collect();
            let (n, left) = (self.n, self.n);
            let stage = Stage { kernel: tile, n, tiles: 1, keep: left, left, run: 0, from: None, to: None };
            return windows(&sizes, &views, b.caps)?.iter().try_for_each(|piece| self.stage(b, piece, &stage));
        }
        // Entries move through the rows as an operand does, so that they fit a binding.
        let tiles = self.n.div_ceil(TILE);
        let selects = name == "topk_tiles";
        let entries = if selects { tiles * self.k } else { self.n };
        let mut strides = vec![0; sizes.len()];
        let mut step = 2 * entries;
        for (i, size) in sizes.iter().enumerate().rev() {
            strides[i] = step;
            step *= size;
        }
        let scratch = View { source: Source::Scratch(0), dtype: DType::U32, start: 0, strides, inner: 2 * entries };
        let views: Vec<&View> = self.views.iter().chain([&scratch]).collect();
        let pieces = windows(&sizes, &views, b.caps)?;
        let bytes = pieces.iter().map(Piece::count).max().unwrap_or(0) * entries * 8;
        let buffers = [b.scratch(bytes)?, b.scratch(bytes)?];
        for piece in &pieces {
            if selects {
                self.select(b, piece, buffers, tile)?;
            } else {
                self.merge(b, piece, buffers, merge)?;
            }
        }
        Ok(())
    }

    /// Each tile keeps its first `k` entries, until a row is one tile.
    fn select(&self, b: &mut Builder<'_>, piece: &Piece, buffers: [Source; 2], last: &str) -> Result<(), Reason> {
        let (mut n, mut from, mut turn) = (self.n, None, 0);
        while n > TILE {
            let tiles = n.div_ceil(TILE);
            let kernel = if from.is_none() { "sort_tile" } else { "sort_tile_again" };
            let (keep, left, to) = (self.k, tiles * self.k, Some(buffers[turn % 2]));
            self.stage(b, piece, &Stage { kernel, n, tiles, keep, left, run: 0, from, to })?;
            (n, from, turn) = (left, to, turn + 1);
        }
        self.stage(b, piece, &Stage { kernel: last, n, tiles: 1, keep: n, left: n, run: 0, from, to: None })
    }

    /// Sorted tiles, then runs of twice the length in each launch.
    fn merge(&self, b: &mut Builder<'_>, piece: &Piece, buffers: [Source; 2], last: &str) -> Result<(), Reason> {
        let (n, tiles) = (self.n, self.n.div_ceil(TILE));
        let (mut turn, mut run) = (0, TILE);
        let first =
            Stage { kernel: "sort_tile", n, tiles, keep: TILE, left: n, run: 0, from: None, to: Some(buffers[0]) };
        self.stage(b, piece, &first)?;
        while run < n {
            let from = Some(buffers[turn % 2]);
            turn += 1;
            let (kernel, to) = if 2 * run >= n { (last, None) } else { ("sort_merge", Some(buffers[turn % 2])) };
            self.stage(b, piece, &Stage { kernel, n, tiles: 0, keep: 0, left: n, run, from, to })?;
            run *= 2;
        }
        Ok(())
    }

    fn stage(&self, b: &mut Builder<'_>, piece: &Piece, stage: &Stage<'_>) -> Result<(), Reason> {
        let rows = piece.count();
        let entries = |source: Source| {
            let n = if stage.to == Some(source) { stage.left } else { stage.n };
            Binding { source, offset: 0, size: (rows * n * 8).next_multiple_of(16) }
        };
        let bound: Vec<(Binding, u32)> = self.views.iter().map(|v| v.bind(piece, b.caps)).collect();
        let values = self.views.len() == 3 && stage.to.is_none();
        // Entries are the second input of a launch that reads values, otherwise the first.
        let mut bindings = vec![stage.to.map_or(bound[0].0, entries)];
        if values || stage.from.is_none() {
            bindings.push(bound[1].0);
        }
        bindings.extend(stage.from.map(entries));
        if values {
            bindings.push(bound[2].0);
        }
        let dims: Vec<usize> = (0..piece.sizes.len()).filter(|&d| piece.sizes[d] != 1).collect();
        let size = stage.n.min(TILE).next_power_of_two();
        let mut params = vec![word(rows)?, word(stage.n)?, dims.len() as u32, word(self.k)?];
        params.extend([word(stage.tiles)?, word(stage.keep)?, word(size)?, word(stage.run)?]);
        let base = |i: usize| bound.get(i).map_or(0, |b| b.1);
        params.extend([base(0), base(1), base(2), word(stage.left)?]);
        params.extend([word(self.along[0])?, word(self.along[1])?, word(self.along[2])?, 0]);
        for i in 0..5 {
            for view in 0..3 {
                let step = dims.get(i).and_then(|&d| self.views.get(view).map(|v| v.strides[d]));
                params.push(word(step.unwrap_or(0))?);
            }
            params.push(word(dims.get(i).map_or(1, |&d| piece.sizes[d]))?);
        }
        // 32-bit arithmetic counts words of entries.
        word(2 * rows * stage.n.max(stage.left))?;
        let groups = if stage.run > 0 { (rows * stage.n).div_ceil(GROUP) } else { rows * stage.tiles };
        let mut constants = self.keys.to_vec();
        let input = if stage.from.is_some() && !values { 0.0 } else { code(self.views[1].dtype) };
        constants.push(("A", input));
        let kernel = if values {
            constants.push(("Y", code(self.views[0].dtype)));
            for_output(stage.kernel, self.views[0].dtype)
        } else {
            stage.kernel.to_owned()
        };
        b.launch(&kernel, &constants, bindings, params, groups)
    }
}
