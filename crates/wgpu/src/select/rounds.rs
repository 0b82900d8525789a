//! How many rounds the loops of an invocation make in one launch, for every kernel.
//!
//! Some drivers end loops without a word after a number of rounds that all loops of an invocation
//! share (`Caps::loop_rounds`). What follows is then computed from half of the data. So each launch is
//! counted here, from the constants and parameters that the kernel itself gets, and the builder refuses
//! what makes too many; whoever can cut the work asks here how far.
//!
//! The count is that of drivers that run several invocations side by side. Of a loop they also make
//! the round that finds its end, in which the loops inside run once for nobody, and so do the loops
//! of a branch that nobody takes. Tests run the text of every kernel with that rule and compare.

use std::iter::Sum;
use std::ops::Add;

use unisono_shaders::Variant;

use crate::caps::Caps;

/// Rounds of a part of a kernel: where invocations take part, and where it runs for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loops {
    busy: u64,
    idle: u64,
}

const NONE: Loops = Loops { busy: 0, idle: 0 };

/// A loop of at most `n` rounds with this in its body.
fn repeat(n: u64, body: Loops) -> Loops {
    let rounds = n.saturating_mul(body.busy.saturating_add(1));
    Loops { busy: rounds.saturating_add(1 + body.idle), idle: 1 + body.idle }
}

impl Add for Loops {
    type Output = Loops;

    fn add(self, other: Loops) -> Loops {
        Loops { busy: self.busy.saturating_add(other.busy), idle: self.idle + other.idle }
    }
}

impl Sum for Loops {
    fn sum<I: Iterator<Item = Loops>>(list: I) -> Loops {
        list.fold(NONE, Add::add)
    }
}

impl Loops {
    /// In a branch that is not taken.
    fn skipped(self) -> Loops {
        Loops { busy: self.idle, idle: self.idle }
    }

    /// The same where an invocation takes at most one of the two ways.
    fn or(self, other: Loops) -> Loops {
        let most = (self.busy + other.idle).max(self.idle + other.busy);
        Loops { busy: most, idle: self.idle + other.idle }
    }
}

/// What a launch says about its loops.
struct Counted<'a> {
    constants: &'a [(&'static str, f64)],
    params: &'a [u32],
    /// Invocations of the smallest subgroup, where the kernel uses subgroups.
    subgroup: Option<u64>,
}

impl Counted<'_> {
    /// A constant of the pipeline, or what it is by default.
    fn constant(&self, name: &str, default: u64) -> u64 {
        let given = self.constants.iter().find(|(other, _)| *other == name);
        given.map_or(default, |&(_, value)| value as u64)
    }

    fn word(&self, i: usize) -> u64 {
        u64::from(self.params.get(i).copied().unwrap_or(0))
    }

    /// `n` elements, a word of the output at a time, by `lanes` invocations.
    fn units(&self, n: u64, lanes: u64) -> Loops {
        let unit = self.constant("UNIT", 1);
        // The first word may begin before the row.
        repeat((n + unit - 1).div_ceil(unit * lanes), repeat(unit, NONE))
    }

    /// The numbers of all invocations of a workgroup joined (`shared/reduce.wesl`).
    fn joined(&self, lanes: u64) -> Loops {
        match self.subgroup {
            Some(size) => repeat(lanes.div_ceil(size), NONE),
            None => repeat(lanes.min(16), NONE) + repeat(16, NONE) + repeat(16, NONE),
        }
    }
}

/// The most rounds that an invocation of this launch makes; nothing for a shader that is not counted.
pub(super) fn of(variant: &Variant, constants: &[(&'static str, f64)], params: &[u32], caps: &Caps) -> Option<u64> {
    let subgroup = caps.subgroups.filter(|_| variant.requires.subgroups).map(|(least, _)| u64::from(least.max(1)));
    let c = Counted { constants, params, subgroup };
    let name = variant.name.trim_end_matches(".sub").trim_end_matches(".z");
    let (family, _) = name.split_once('_').unwrap_or((name, ""));
    let loops = match family {
        "probe" => return None,
        "wide" => NONE,
        "matmul" | "linear" | "blocks" if !name.starts_with("blocks_experts") => products(&c, name)?,
        "experts" | "blocks" => experts(&c, name),
        "dequantise" => c.locate() + repeat(4, NONE) + repeat(4, NONE),
        "quantise" => quantise(&c),
        "reduce" | "arg" | "cumsum" | "softmax" | "rms" | "add" | "layer" | "l2" => rows(&c, name)?,
        "group" => group_norm(&c),
        "sort" | "argsort" | "topk" => sort(&c, name),
        "im2col" => repeat(4, NONE),
        "conv" => {
            let kernel = repeat(c.word(6), repeat(c.word(10), repeat(c.word(11), NONE)));
            repeat(c.constant("UNIT", 1), kernel)
        }
        "rope" => c.units(4, 1),
        "attention" if name == "attention_combine" => {
            let parts = repeat(c.word(4), NONE);
            parts + repeat(c.word(5).div_ceil(128), parts)
        }
        "attention" => Flash::of_launch(name, &c).loops(),
        _ if variant.workgroup_size == [256, 1, 1] && MAPS.contains(&name) => {
            let unit = c.constant("UNIT", 1);
            repeat(4 / unit, repeat(unit, c.locate() + c.locate()))
        }
        _ => return None,
    };
    Some(loops.busy)
}

/// Kernels that visit elements one by one (`shared/map.wesl`).
const MAPS: [&str; 12] = [
    "copy",
    "gather_rows",
    "scatter_rows",
    "cast",
    "fill",
    "function",
    "bits",
    "pair",
    "compare",
    "where",
    "unary",
    "binary",
];

impl Counted<'_> {
    /// The position of an element in up to six dimensions.
    fn locate(&self) -> Loops {
        repeat(self.word(1), NONE)
    }
}

/// Matrix products; `k` is a launch's part of it.
fn products(c: &Counted<'_>, name: &str) -> Option<Loops> {
    let (k, lanes, m) = (c.word(2), c.constant("LANES", 32), c.constant("M", 1));
    let kernel = name.split_once('_').map_or(name, |(_, kernel)| kernel);
    let blocks = name.starts_with("blocks");
    let matrix = repeat(c.word(6), NONE);
    let kernel = match (kernel, blocks) {
        ("direct", _) => repeat(k, NONE) + repeat(16, NONE),
        ("columns", false) => repeat(k, NONE) + repeat(m, repeat(4, NONE)),
        ("columns_subgroups", false) => {
            // In pairs or one by one.
            let size = c.subgroup.unwrap_or(1);
            let steps = repeat(size, NONE).or(repeat(size, NONE));
            repeat(k.div_ceil(size), steps) + repeat(m, repeat(4, NONE))
        }
        ("columns", true) => repeat(k / 32, repeat(4, repeat(8, NONE))) + repeat(m, repeat(4, NONE)),
        ("columns_subgroups", true) => repeat(k / 32, repeat(4, NONE)) + repeat(m, repeat(4, NONE)),
        ("tiled", false) => repeat(k.div_ceil(16), repeat(1, NONE) + repeat(16, NONE)) + repeat(16, NONE),
        ("tiled_small", false) => repeat(k.div_ceil(16), repeat(2, NONE) + repeat(16, NONE)) + repeat(16, NONE),
        ("tiled", true) => repeat(k / 32, staged(2, 1)) + repeat(16, NONE),
        ("tiled_small", true) => repeat(k / 32, staged(4, 2)) + repeat(16, NONE),
        ("matvec_nk" | "matvec_nk_wide", _) => {
            repeat(k.div_ceil(4 * lanes), NONE) + repeat(m.div_ceil(lanes), repeat(lanes, NONE) + repeat(2, NONE))
        }
        ("matvec_kn", _) => repeat(k.div_ceil(4), NONE) + repeat(m.div_ceil(8), repeat(4, NONE) + repeat(2, NONE)),
        ("matvec" | "matvec_wide", true) => {
            let join = repeat(m.div_ceil(lanes), repeat(lanes, NONE) + repeat(2, NONE));
            repeat((k / 32).div_ceil(lanes), repeat(4, NONE)) + join
        }
        _ => return None,
    };
    Some(matrix + kernel)
}

/// Tiles of 32 steps of k staged in so many rounds, and multiplied.
fn staged(a: u64, b: u64) -> Loops {
    repeat(a, NONE) + repeat(b, NONE) + repeat(8, NONE)
}

/// A mixture of experts. All rows may choose the same one.
fn experts(c: &Counted<'_>, name: &str) -> Loops {
    if name.ends_with("rows") {
        let lanes = c.constant("LANES", 32);
        return repeat((c.word(3).div_ceil(32) * 4).div_ceil(lanes), NONE) + repeat(lanes, NONE) + repeat(2, NONE);
    }
    Loops { busy: experts_tiled(c.word(3), c.word(4)), idle: 0 }
}

/// Rounds of tiles of one expert with `rows` rows of `k` steps.
pub(super) fn experts_tiled(k: u64, rows: u64) -> u64 {
    let tile = repeat(k.div_ceil(32), staged(4, 2)) + repeat(16, NONE);
    // 512 rows are looked at in one go, by 64 invocations, and multiplied 32 at a time.
    let found = repeat(8, NONE);
    let visits = rows.div_ceil(512);
    let none = repeat(0, tile);
    let all = rows.div_ceil(32).saturating_mul(1 + tile.busy) + visits * (1 + found.busy + none.busy);
    all.saturating_add(1 + found.idle + none.idle)
}

/// A block's bytes from its elements: ranges of its groups, then each byte from up to eight codes.
fn quantise(c: &Counted<'_>) -> Loops {
    let groups = || repeat(16, repeat(15, NONE)).or(repeat(8, repeat(31, NONE)));
    let bytes = c.constant("BLOCK_BYTES", 18);
    let (small, large) = (repeat(31, NONE), groups() + groups() + repeat(16, NONE));
    // Blocks of 256 have 84 bytes and more.
    let choose = if bytes < 64 { small + large.skipped() } else { large + small.skipped() };
    c.locate() + choose + repeat(bytes, repeat(8, NONE).or(repeat(4, NONE)))
}

/// Kernels of `shared/rows.wesl`.
fn rows(c: &Counted<'_>, name: &str) -> Option<Loops> {
    let (n, lanes) = (c.word(1), c.constant("GROUP", 256));
    let place = repeat(c.word(2), NONE);
    let visits = repeat(n.div_ceil(lanes), NONE);
    let halves = repeat(u64::from(lanes.max(2).ilog2()), NONE);
    let joined = c.joined(lanes);
    let plain = name.trim_end_matches("_subgroups");
    Some(
        place
            + match plain {
                // A sum, a product or a maximum.
                "reduce_row" => visits + joined + joined.skipped() + joined.skipped(),
                "reduce_split" => {
                    repeat(c.word(15).div_ceil(lanes), NONE) + joined + joined.skipped() + joined.skipped()
                }
                "reduce_column" | "cumsum_column" => repeat(n, NONE),
                "reduce_integers" | "arg_row" | "arg_join" => visits + halves,
                "arg_split" => repeat(c.word(15).div_ceil(lanes), NONE) + halves,
                "cumsum_row" | "cumsum_integers" => visits + repeat(lanes, NONE) + visits,
                "softmax" | "softmax_cached" => {
                    let pass = c.units(n, lanes);
                    pass + pass + pass + joined + joined
                }
                "rms_norm" | "add_rms_norm" => {
                    let pass = c.units(n, lanes);
                    pass + joined + pass
                }
                "layer_norm" => visits + joined + visits + joined + c.units(n, lanes),
                "l2_norm" => visits + joined + c.units(n, lanes),
                _ => return None,
            },
    )
}

fn group_norm(c: &Counted<'_>) -> Loops {
    let (n, lanes, unit) = (c.word(2) * c.word(3), c.constant("GROUP", 256), c.constant("UNIT", 1));
    let dimensions = c.word(4);
    // The loop over several dimensions stands in a branch.
    let over = repeat(dimensions.saturating_sub(1), NONE);
    let locate = if dimensions > 1 { over } else { over.skipped() };
    let visits = repeat(n.div_ceil(lanes), locate);
    let last = repeat(n.div_ceil(lanes * unit), repeat(unit, locate));
    visits + c.joined(lanes) + visits + c.joined(lanes) + last
}

fn sort(c: &Counted<'_>, name: &str) -> Loops {
    let place = repeat(c.word(2), NONE);
    if name.ends_with("merge") {
        let run = c.word(7).max(1);
        return repeat(u64::from(run.ilog2()) + 1, NONE) + place;
    }
    let size = c.word(6);
    let levels = u64::from(size.max(1).ilog2());
    let compared = repeat((size / 2).div_ceil(256), NONE);
    let network = repeat(levels, repeat(levels, compared));
    place + repeat(size.div_ceil(256), NONE) + network + repeat(size.div_ceil(256), NONE)
}

/// Attention with a running softmax (`attention/flash.wesl`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Flash {
    /// Four rows each.
    pub(super) teams: u64,
    /// Columns of v for each invocation.
    pub(super) columns: u64,
    pub(super) head_dim: u64,
    /// Keys in blocks.
    pub(super) blocks: bool,
    /// Invocations of the smallest subgroup, where the kernel uses subgroups.
    pub(super) subgroup: Option<u64>,
    /// Runs of rows with one cache each, in one tile.
    pub(super) runs: u64,
    /// The most keys that a workgroup visits for one run.
    pub(super) keys: u64,
}

/// Keys of a tile.
pub(super) const TILE_KEYS: u64 = 64;
/// Rows of a team: 64 invocations, one for each key of a tile.
const ROWS_OF_TEAM: u64 = 4;

/// Tokens that `rows` neighbouring rows belong to, where a token has `group` rows.
pub(super) fn tokens_of(rows: u64, group: u64, tokens: u64) -> u64 {
    let group = group.max(1);
    let touched = match (group.is_multiple_of(rows), rows.is_multiple_of(group)) {
        (true, _) => 1,
        (false, true) => rows / group,
        (false, false) => (rows - 1).div_ceil(group) + 1,
    };
    touched.min(tokens).max(1)
}

/// The longest run of keys that a tile of `tokens` tokens sees of one cache. With a window the tokens
/// of a causal tile see neighbouring ranges, and those with limits may see any.
pub(super) fn reach(kv: u64, window: u64, limits: bool, tokens: u64) -> u64 {
    match (limits, tokens) {
        (true, 2..) => kv,
        _ => kv.min(window.saturating_add(tokens - 1)),
    }
}

impl Flash {
    /// Four, eight or sixteen rows.
    pub(super) fn teams_of(kernel: &str) -> u64 {
        let kernel = kernel.trim_end_matches(".sub");
        if kernel.ends_with("16") {
            4
        } else if kernel.ends_with('8') {
            2
        } else {
            1
        }
    }

    fn of_launch(name: &str, c: &Counted<'_>) -> Flash {
        let teams = Flash::teams_of(name);
        let (group, tokens, kv) = (c.word(2), c.word(3), c.word(4));
        let touched = tokens_of(4 * teams, group, tokens);
        let longest = reach(kv, c.word(40), (c.word(55) >> 4) & 15 == 2, touched);
        let (splits, split_keys) = (c.word(9), c.word(10));
        let last = longest.saturating_sub((splits.max(1) - 1) * split_keys);
        let keys = if splits > 1 { longest.min(split_keys).max(last) } else { longest };
        let runs = if c.word(51) == 1 { touched } else { 1 };
        Flash {
            teams,
            columns: c.constant("COLUMNS", 1),
            head_dim: c.word(5),
            blocks: c.constant("B", 0) == 4,
            subgroup: c.subgroup,
            runs,
            keys,
        }
    }

    /// The loops of one tile of keys.
    fn tile(&self) -> Loops {
        let floats = match self.subgroup {
            Some(size) => repeat(self.head_dim.div_ceil(size), repeat(size.min(self.head_dim), NONE)),
            None => repeat(self.head_dim, NONE),
        };
        let blocks = repeat(self.head_dim / 32, repeat(8, NONE));
        let product = if self.blocks { blocks + floats.skipped() } else { floats + blocks.skipped() };
        let largest = repeat(TILE_KEYS.div_ceil(self.subgroup.unwrap_or(1)), NONE);
        let sums = match self.subgroup {
            Some(size) => repeat(TILE_KEYS.div_ceil(size), repeat(size.min(TILE_KEYS), NONE)),
            None => repeat(TILE_KEYS, NONE),
        };
        product + repeat(ROWS_OF_TEAM, NONE) + largest + sums
    }

    fn loops(&self) -> Loops {
        let each_row = || repeat(ROWS_OF_TEAM, NONE);
        let queries = repeat(self.head_dim.div_ceil(TILE_KEYS), each_row());
        let tiles = repeat(self.keys.div_ceil(TILE_KEYS), self.tile());
        let runs = repeat(self.runs, repeat(ROWS_OF_TEAM * self.teams, NONE) + each_row() + tiles);
        let sinks = each_row();
        queries + runs + sinks + repeat(ROWS_OF_TEAM, repeat(self.columns, NONE))
    }

    /// The most keys, in whole tiles, with which the loops make at most `limit` rounds; nothing where
    /// one tile is too many.
    pub(super) fn most_keys(self, limit: u64) -> Option<u64> {
        let least = Flash { keys: 0, ..self }.loops().busy;
        let tiles = limit.checked_sub(least)? / (self.runs * (1 + self.tile().busy)).max(1);
        (tiles > 0).then(|| tiles.saturating_mul(TILE_KEYS))
    }
}
