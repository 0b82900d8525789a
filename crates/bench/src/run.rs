//! A run: every item of a selection on one device, checked, timed, beside the ceilings.
//!
//! All items are visited several times, in rounds. A machine that changes while it is measured (a
//! clock that sinks, a neighbour on the same memory) changes between the rounds of a row, too, and so
//! the report itself says how far two measurements of the same thing lie apart.

use std::time::Duration;

use unisono_conformance::report::DeviceFacts;
use unisono_core::{Backend, Result};
use web_time::Instant;

use crate::cases::Item;
use crate::ceilings::{Ceilings, Extent, Sweep, measure as measure_ceilings};
use crate::data::Patterns;
use crate::reference::{self, Reference};
use crate::report::{DeviceBench, Flag, Row};
use crate::roofline::Roof;
use crate::session::{Measured, Session};
use crate::timing::Effort;

/// A row that is this much over its ceiling is flagged.
const CEILING_LIMIT: f64 = 1.10;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each row.
    pub effort: Effort,
    /// How often all items are visited; the samples of a row are dealt out over the rounds.
    pub rounds: usize,
    /// A row whose runs would take longer is skipped after its first one, and says so.
    pub row_limit: Duration,
    /// Whether every kernel that could serve an item is timed.
    pub candidates: bool,
    /// Whether weights stay where the caches hold them.
    pub warm: bool,
    /// Ceilings that were measured already.
    pub ceilings: Option<Ceilings>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            effort: Effort::default(),
            rounds: 5,
            row_limit: Duration::from_secs(60),
            candidates: false,
            warm: false,
            ceilings: None,
        }
    }
}

/// Where a run is.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something begins.
    Begin {
        /// Visits of items done, over all rounds.
        done: usize,
        /// Visits in all.
        total: usize,
        /// What runs now: a probe or the id of an item.
        now: &'a str,
    },
    /// A row was measured, for the first time or once more.
    Row {
        /// The round, from 0.
        round: usize,
        /// The row over its rounds so far.
        row: &'a Row,
    },
    /// A visit of an item ended: everything measured so far.
    Visited(&'a DeviceBench),
}

/// Runs `items` on `backend`. An item that fails becomes a row that says so; only the ceilings and
/// the reference can fail the run.
pub fn run(
    backend: &dyn Backend,
    items: &[Item],
    patterns: &mut Patterns,
    options: &Options,
    hear: &mut dyn FnMut(Event<'_>),
) -> Result<DeviceBench> {
    let start = Instant::now();
    let rounds = options.rounds.max(1);
    let total = rounds * items.len();
    let ceilings = match &options.ceilings {
        Some(ceilings) => ceilings.clone(),
        None => {
            let sweep = Sweep::of(backend.info(), Extent::Short);
            measure_ceilings(backend, &sweep, &mut |now| hear(Event::Begin { done: 0, total, now }))?
        }
    };
    let mut session = Session::new(backend, options, &ceilings, Reference::new(backend, patterns)?)?;
    let mut visited: Vec<Vec<Measured<'_>>> = items.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (i, item) in items.iter().enumerate() {
            hear(Event::Begin { done: round * items.len() + i, total, now: &item.id });
            if !session.visit(item, round, &mut visited[i]) {
                continue;
            }
            for measured in &visited[i] {
                let row = assess(backend, &ceilings, session.reference(), measured).0;
                hear(Event::Row { round, row: &row });
            }
            hear(Event::Visited(&assemble(&session, &ceilings, &visited, start)));
        }
    }
    Ok(assemble(&session, &ceilings, &visited, start))
}

/// Everything measured so far.
fn assemble(session: &Session<'_>, ceilings: &Ceilings, visited: &[Vec<Measured<'_>>], start: Instant) -> DeviceBench {
    let backend = session.backend();
    let beats = session.reference().beats();
    let mut worst: Option<f64> = None;
    let mut rows = Vec::new();
    for measured in visited.iter().flatten() {
        let (row, drift) = assess(backend, ceilings, session.reference(), measured);
        if let Some(drift) = drift
            && worst.is_none_or(|w| drift.ln().abs() > w.ln().abs())
        {
            worst = Some(drift);
        }
        rows.push(row);
    }
    DeviceBench {
        device: DeviceFacts::of(backend.info()),
        ceilings: ceilings.clone(),
        reference: reference::middle(beats),
        reference_spread: reference::spread(beats),
        worst_drift: worst,
        cold_bytes: session.cold_bytes(),
        seconds: start.elapsed().as_secs_f64(),
        rows,
    }
}

/// A row with its share of the ceiling, and how far the reference strayed meanwhile.
fn assess(
    backend: &dyn Backend,
    ceilings: &Ceilings,
    reference: &Reference<'_>,
    measured: &Measured<'_>,
) -> (Row, Option<f64>) {
    let mut row = measured.row();
    let beats: Vec<_> =
        measured.beats().flat_map(|range| reference.beats().get(range).unwrap_or_default()).copied().collect();
    let drift = reference::middle(reference.beats()).and_then(|usual| reference::drift(&beats, usual));
    if let Some(figures) = &mut row.figures {
        let (info, clock) = (backend.info(), measured.clock());
        let roof = Roof::of(&measured.item().desc, measured.working_set(), clock, info, ceilings);
        if let Some((bound, share)) = roof.share(figures.time.median) {
            (figures.bound, figures.share) = (Some(bound), Some(share));
            if share > CEILING_LIMIT {
                row.flags.push(Flag::AboveCeiling);
            }
        }
        figures.drift = drift;
        figures.reference = reference::middle(&beats);
        if drift.is_some_and(reference::strays) {
            row.flags.push(Flag::Drift);
        }
    }
    (row, drift)
}
