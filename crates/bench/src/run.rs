//! A run: every item of a selection on one device, checked, timed, beside the ceilings.

use std::sync::Arc;

use unisono_conformance::report::DeviceFacts;
use unisono_core::{Backend, Clock, ErrorKind, KernelChoice, Plan, Result, Support};
use web_time::Instant;

use crate::cases::Item;
use crate::ceilings::{Ceilings, Extent, Sweep, measure as measure_ceilings};
use crate::cold::{Bound, cold_bytes, copies, refusal};
use crate::conformant::{Checker, changed};
use crate::data::Patterns;
use crate::reference::{self, Reference};
use crate::report::{DeviceBench, Figures, Flag, Outcome, Row};
use crate::roofline::Roof;
use crate::stats::Summary;
use crate::timing::{Effort, Rotation, measure};

/// The name of the decomposition of a composite among candidates.
const DECOMPOSITION: &str = "decomposition";

/// A row whose slow fifth is this much over its fast fifth is flagged.
const SPREAD_LIMIT: f64 = 1.25;

/// A row that is this much over its ceiling is flagged.
const CEILING_LIMIT: f64 = 1.10;

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long each row.
    pub effort: Effort,
    /// Whether every kernel that could serve an item is timed.
    pub candidates: bool,
    /// Whether weights stay where the caches hold them.
    pub warm: bool,
    /// Ceilings that were measured already.
    pub ceilings: Option<Ceilings>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Items done.
    pub done: usize,
    /// Items in all.
    pub total: usize,
    /// What runs now.
    pub now: &'a str,
}

/// Runs `items` on `backend`. An item that fails becomes a row that says so; only the ceilings and
/// the reference can fail the run.
pub fn run(
    backend: &dyn Backend,
    items: &[Item],
    patterns: &mut Patterns,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<DeviceBench> {
    let start = Instant::now();
    let info = backend.info();
    let total = items.len();
    let ceilings = match &options.ceilings {
        Some(ceilings) => ceilings.clone(),
        None => {
            let sweep = Sweep::of(info, Extent::Short);
            measure_ceilings(backend, &sweep, &mut |now| progress(Progress { done: 0, total, now }))?
        }
    };
    let mut session =
        Session { backend, options, reference: Reference::new(backend, patterns)?, cold: cold_bytes(info) };
    session.reference.beat()?;
    let mut measured = Vec::new();
    for (done, item) in items.iter().enumerate() {
        progress(Progress { done, total, now: &item.id });
        measured.extend(session.item(item));
    }
    let beats = session.reference.beats();
    let usual = reference::middle(beats);
    let mut worst: Option<f64> = None;
    let mut rows = Vec::with_capacity(measured.len());
    for Measured { mut row, clock, working_set, beats: during, item } in measured {
        let drift = usual.and_then(|usual| reference::drift(beats.get(during.clone())?, usual));
        if let Some(drift) = drift
            && worst.is_none_or(|w| drift.ln().abs() > w.ln().abs())
        {
            worst = Some(drift);
        }
        if let Some(figures) = &mut row.figures {
            let roof = Roof::of(&item.desc, working_set, clock, info, &ceilings);
            if let Some((bound, share)) = roof.share(figures.time.median) {
                (figures.bound, figures.share) = (Some(bound), Some(share));
                if share > CEILING_LIMIT {
                    row.flags.push(Flag::AboveCeiling);
                }
            }
            figures.drift = drift;
            figures.reference = beats.get(during).and_then(reference::middle);
            if drift.is_some_and(reference::strays) {
                row.flags.push(Flag::Drift);
            }
        }
        rows.push(row);
    }
    Ok(DeviceBench {
        device: DeviceFacts::of(info),
        ceilings,
        reference: usual,
        reference_spread: reference::spread(beats),
        worst_drift: worst,
        cold_bytes: if options.warm { 0 } else { session.cold },
        seconds: start.elapsed().as_secs_f64(),
        rows,
    })
}

/// A row before its share and its drift are known.
struct Measured<'a> {
    row: Row,
    clock: Clock,
    working_set: u64,
    beats: std::ops::Range<usize>,
    item: &'a Item,
}

struct Session<'a> {
    backend: &'a dyn Backend,
    options: &'a Options,
    reference: Reference<'a>,
    cold: u64,
}

impl Session<'_> {
    /// All rows of one item.
    fn item<'i>(&mut self, item: &'i Item) -> Vec<Measured<'i>> {
        let copies = if self.options.warm { 1 } else { copies(item, self.cold) };
        let refused = match self.backend.supports(&item.desc) {
            Support::Unsupported(reason) => Some(reason.to_string()),
            _ => refusal(item, copies, self.backend.info()),
        };
        if let Some(reason) = refused {
            return vec![self.blank(item, copies, Outcome::Skipped, reason)];
        }
        match self.bound(item, copies) {
            Ok(rows) => rows,
            Err(e) if e.kind() == ErrorKind::OutOfMemory => {
                vec![self.blank(item, copies, Outcome::Skipped, e.to_string())]
            }
            Err(e) => vec![self.blank(item, copies, Outcome::Error, e.to_string())],
        }
    }

    fn blank<'i>(&self, item: &'i Item, copies: usize, outcome: Outcome, detail: String) -> Measured<'i> {
        let elements = item.desc.outputs.iter().map(unisono_core::TensorDesc::elements).sum();
        let row = Row {
            id: item.id.clone(),
            set: item.set.clone(),
            shape: item.shape.clone(),
            op: item.desc.op.name().to_owned(),
            dtype: item.dtype.name().to_owned(),
            kernel: String::new(),
            selected: true,
            outcome,
            detail,
            conformant: false,
            checked: 0,
            elements,
            flops: item.desc.flops(),
            bytes: item.desc.bytes(),
            copies,
            figures: None,
            flags: Vec::new(),
        };
        let now = self.reference.beats().len();
        Measured { row, clock: Clock::Host, working_set: working_set(item, copies), beats: now..now, item }
    }

    /// Every kernel of an item, over the same buffers.
    fn bound<'i>(&mut self, item: &'i Item, copies: usize) -> Result<Vec<Measured<'i>>> {
        let checker = Checker::new(item, &self.backend.info().numeric_modes)?;
        let bound = Bound::new(self.backend, item, copies)?;
        let mut rows = Vec::new();
        for (choice, selected) in self.choices(item) {
            let named = match &choice {
                KernelChoice::Named(name) => name.to_string(),
                KernelChoice::Decompose => DECOMPOSITION.to_owned(),
                KernelChoice::Auto => String::new(),
            };
            let mut measured = self.blank(item, copies, Outcome::Error, String::new());
            (measured.row.kernel, measured.row.selected) = (named, selected);
            if let Err(e) = self.kernel(item, &bound, &checker, choice, &mut measured) {
                let lacks_memory = e.kind() == ErrorKind::OutOfMemory;
                measured.row.outcome = if lacks_memory { Outcome::Skipped } else { Outcome::Error };
                measured.row.detail = e.to_string();
                measured.row.figures = None;
                measured.row.conformant = false;
            }
            rows.push(measured);
        }
        Ok(rows)
    }

    /// The kernels to time: the selector's, or each that could serve the item.
    fn choices(&self, item: &Item) -> Vec<(KernelChoice, bool)> {
        let named = self.backend.kernels(&item.desc);
        if !self.options.candidates || named.is_empty() {
            return vec![(KernelChoice::Auto, true)];
        }
        let mut choices: Vec<(KernelChoice, bool)> =
            named.into_iter().enumerate().map(|(i, name)| (KernelChoice::Named(name), i == 0)).collect();
        if item.desc.op.is_composite() && unisono_core::decomposition(&item.desc).is_ok_and(|p| self.runs(&p)) {
            choices.push((KernelChoice::Decompose, false));
        }
        choices
    }

    fn runs(&self, program: &unisono_core::Program) -> bool {
        program.steps().iter().all(|s| !matches!(self.backend.supports(&s.desc()), Support::Unsupported(_)))
    }

    fn kernel(
        &mut self,
        item: &Item,
        bound: &Bound<'_>,
        checker: &Checker,
        choice: KernelChoice,
        measured: &mut Measured<'_>,
    ) -> Result<()> {
        let plan = bound.compile(choice)?;
        let row = &mut measured.row;
        if row.kernel.is_empty() {
            row.kernel = kernel_names(&plan);
        }
        let (verdict, checked) = checker.run(item, bound, &plan)?;
        (row.checked, row.elements) = (verdict.checked, verdict.elements);
        if let Some(wrong) = verdict.wrong {
            (row.outcome, row.detail) = (Outcome::Wrong, wrong);
            return Ok(());
        }
        let first = self.reference.beats().len();
        let mut runs = Rotation::new(self.backend, Arc::clone(&plan), &bound.bindings);
        let reference = &mut self.reference;
        let timed = measure(&mut runs, &self.options.effort, &mut || reference.beat())?;
        self.reference.beat()?;
        measured.beats = first..self.reference.beats().len();
        measured.clock = timed.clock;
        if let Some(wrong) = changed(&checked, &bound.read()?) {
            (row.outcome, row.detail) = (Outcome::Wrong, wrong);
            return Ok(());
        }
        let Some(time) = Summary::of(&timed.samples) else { return Ok(()) };
        (row.outcome, row.conformant) = (Outcome::Measured, true);
        if timed.samples.len() < self.options.effort.samples {
            row.flags.push(Flag::FewSamples);
        }
        if time.p80 > SPREAD_LIMIT * time.p20 {
            row.flags.push(Flag::Spread);
        }
        row.figures = Some(Figures {
            clock: timed.clock.name().to_owned(),
            batch: timed.batch,
            bandwidth: row.bytes as f64 / time.median,
            rate: row.flops as f64 / time.median,
            samples: timed.samples,
            time,
            share: None,
            bound: None,
            reference: None,
            drift: None,
        });
        Ok(())
    }
}

fn kernel_names(plan: &Arc<dyn Plan>) -> String {
    let names: Vec<String> = plan.kernel_names().iter().map(ToString::to_string).collect();
    names.join("+")
}

/// Bytes that the runs of an item go through, with all copies.
fn working_set(item: &Item, copies: usize) -> u64 {
    let operands = item.desc.inputs.len() + item.desc.outputs.len();
    let times = |i: usize| if item.weights.contains(&i) { copies as u64 } else { 1 };
    (0..operands).map(|i| item.slot_bytes(i).saturating_mul(times(i))).sum()
}
