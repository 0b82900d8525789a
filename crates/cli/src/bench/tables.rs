//! The tables of `unisono bench`. Units stand in the headers.

use comfy_table::{CellAlignment, Table};
use unisono_bench::ceilings::{Ceiling, Ceilings};
use unisono_bench::diff::Change;
use unisono_bench::report::{Row, html};

use crate::output;

/// Columns in a pipe, where ids are not to be broken.
const PIPE_WIDTH: u16 = 240;

fn wide(header: &[&str]) -> Table {
    let mut table = output::table(header);
    if !console::user_attended() {
        table.set_width(PIPE_WIDTH);
    }
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for &i in columns {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The ceilings of a device.
pub(super) fn ceilings(ceilings: &Ceilings) -> Table {
    let mut table = output::table(&["probe", "size", "best", "run, ms", "clock", "remark"]);
    for c in &ceilings.0 {
        table.add_row([
            c.name.clone(),
            c.bytes.map(html::size).unwrap_or_default(),
            html::value(c),
            format!("{:.2}", c.seconds * 1e3),
            c.clock.clone(),
            doubt(c),
        ]);
    }
    right(&mut table, &[1, 2, 3]);
    table
}

fn doubt(ceiling: &Ceiling) -> String {
    let word = if ceiling.impossible { "impossible" } else { "uncertain" };
    ceiling.doubt.as_ref().map(|why| format!("{word}: {why}")).unwrap_or_default()
}

/// A row on one line, while the run goes on.
pub(super) fn line(round: usize, rounds: usize, row: &Row) -> String {
    let id = match row.selected {
        true => row.id.clone(),
        false => format!("{} on {}", row.id, row.kernel),
    };
    let round = format!("{}/{rounds}", round + 1);
    let Some(f) = &row.figures else { return format!("{round} {id}: {} {}", row.outcome.name(), row.detail) };
    let share = f.share.map(|s| format!(", {:.0}% of the ceiling", 100.0 * s)).unwrap_or_default();
    let flags: String = row.flags.iter().map(|f| format!(", {}", f.name())).collect();
    format!("{round} {id}: {} µs, {:.2} GB/s{share}{flags}", microseconds(f.time.median), f.bandwidth / 1e9)
}

/// Seconds in microseconds, with as many digits as they carry.
fn microseconds(seconds: f64) -> String {
    match seconds * 1e6 {
        us if us >= 1000.0 => format!("{us:.0}"),
        us if us >= 100.0 => format!("{us:.1}"),
        us => format!("{us:.2}"),
    }
}

/// The rows of a device that ran. `name` shortens their ids.
pub(super) fn rows(rows: &[&Row]) -> Table {
    let header = [
        "operation",
        "kernel",
        "median, µs",
        "p20, µs",
        "p80, µs",
        "± 95%",
        "GB/s",
        "GFLOP/s",
        "ceiling",
        "bound by",
        "clock",
        "samples",
        "right",
        "remark",
    ];
    let mut table = wide(&header);
    for row in rows {
        let checked = match row.checked == row.elements {
            true => "all".to_owned(),
            false => format!("{} of {}", row.checked, row.elements),
        };
        let Some(f) = &row.figures else {
            let mut cells = vec![row.id.clone(), row.kernel.clone()];
            cells.resize(header.len() - 1, String::new());
            cells.push(format!("{}: {}", row.outcome.name(), row.detail));
            table.add_row(cells);
            continue;
        };
        let flags: Vec<&str> = row.flags.iter().map(|f| f.name()).collect();
        table.add_row([
            row.id.clone(),
            row.kernel.clone(),
            microseconds(f.time.median),
            microseconds(f.time.p20),
            microseconds(f.time.p80),
            format!("{:.1}%", 50.0 * (f.time.high - f.time.low) / f.time.median),
            format!("{:.2}", f.bandwidth / 1e9),
            format!("{:.2}", f.rate / 1e9),
            f.share.map(|s| format!("{:.0}%", 100.0 * s)).unwrap_or_default(),
            f.bound.map_or(String::new(), |b| b.name().to_owned()),
            f.clock.clone(),
            format!("{}×{}", f.samples.len(), f.batch),
            checked,
            flags.join(", "),
        ]);
    }
    right(&mut table, &[2, 3, 4, 5, 6, 7, 8]);
    table
}

/// Every kernel of each item, the chosen one marked, and what the choice loses.
pub(super) fn candidates(rows: &[&Row]) -> Table {
    let mut table = wide(&["operation", "kernel", "chosen", "median, µs", "to the best", "right", "remark"]);
    for row in rows {
        let best = rows.iter().filter(|r| r.id == row.id).filter_map(|r| Some(r.figures.as_ref()?.time.median));
        let best = best.fold(f64::INFINITY, f64::min);
        let time = row.figures.as_ref().map(|f| f.time.median);
        let flags: Vec<&str> = row.flags.iter().map(|f| f.name()).collect();
        let remark = if row.detail.is_empty() { flags.join(", ") } else { row.detail.clone() };
        table.add_row([
            row.id.clone(),
            row.kernel.clone(),
            if row.selected { "✓".to_owned() } else { String::new() },
            time.map(microseconds).unwrap_or_default(),
            time.map(|t| format!("{:+.0}%", 100.0 * (t / best - 1.0))).unwrap_or_default(),
            if row.conformant { "yes" } else { row.outcome.name() }.to_owned(),
            remark,
        ]);
    }
    right(&mut table, &[3, 4]);
    table
}

/// A ratio as a change.
fn percent(ratio: f64) -> String {
    format!("{:+.1}%", 100.0 * (ratio - 1.0))
}

/// What changed from one report to another.
pub(super) fn changes(changes: &[Change]) -> Table {
    let mut table =
        wide(&["change", "operation", "kernel", "before, µs", "after, µs", "time", "99% interval", "remark"]);
    for c in changes {
        let kernel = match c.before_kernel == c.after_kernel {
            true => c.before_kernel.clone(),
            false => format!("{} -> {}", c.before_kernel, c.after_kernel),
        };
        table.add_row([
            c.kind.name().to_owned(),
            c.id.clone(),
            kernel,
            c.before.map(microseconds).unwrap_or_default(),
            c.after.map(microseconds).unwrap_or_default(),
            c.ratio.map(percent).unwrap_or_default(),
            c.interval.map(|[low, high]| format!("{} to {}", percent(low), percent(high))).unwrap_or_default(),
            c.detail.clone(),
        ]);
    }
    right(&mut table, &[3, 4, 5, 6]);
    table
}
