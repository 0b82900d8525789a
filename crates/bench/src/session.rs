//! One device during a run: what a visit of an item does.
//!
//! The first visit checks every kernel against the oracle. Later ones need no oracle: they must give
//! the bits that were checked, so a hash of these is all that stays between the rounds. Buffers do
//! not stay: the copies of the weights of a whole model would fill any memory.

use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use unisono_core::{Backend, Clock, ErrorKind, KernelChoice, Plan, Result, Support, TensorDesc};
use web_time::Instant;

use crate::cases::Item;
use crate::ceilings::Ceilings;
use crate::cold::{Bound, cold_bytes, copies, refusal};
use crate::conformant::Checker;
use crate::reference::{self, Reference};
use crate::report::{Figures, Flag, Outcome, Round, Row};
use crate::roofline::Roof;
use crate::run::Options;
use crate::stats::Summary;
use crate::timing::{FEWEST, Rotation, Runs, calibrate, sample};

/// The name of the decomposition of a composite among candidates.
const DECOMPOSITION: &str = "decomposition";

/// A row whose slow fifth is this much over its fast fifth is flagged.
const SPREAD_LIMIT: f64 = 1.25;

/// What is known of a row so far.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    item: &'a Item,
    /// Without figures: these follow from the samples.
    row: Row,
    choice: KernelChoice,
    clock: Clock,
    batch: usize,
    /// A hash of the outputs that were checked.
    bits: u64,
    samples: Vec<f64>,
    /// Samples that should be there by now.
    wanted: usize,
    rounds: Vec<Visit>,
}

/// A round of a row.
#[derive(Clone, Debug)]
struct Visit {
    round: Round,
    beats: Range<usize>,
}

impl<'a> Measured<'a> {
    pub(crate) fn item(&self) -> &'a Item {
        self.item
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Bytes that the runs go through, with all copies.
    pub(crate) fn working_set(&self) -> u64 {
        working_set(self.item, self.row.copies)
    }

    /// Which measurements of the reference were taken beside the samples.
    pub(crate) fn beats(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.rounds.iter().map(|visit| visit.beats.clone())
    }

    /// The row with the figures that follow from the samples alone.
    pub(crate) fn row(&self) -> Row {
        let mut row = self.row.clone();
        let measured = row.outcome == Outcome::Measured;
        let Some(time) = Summary::of(&self.samples).filter(|_| measured) else { return row };
        if self.samples.len() < self.wanted {
            row.flags.push(Flag::FewSamples);
        }
        if time.p80 > SPREAD_LIMIT * time.p20 {
            row.flags.push(Flag::Spread);
        }
        row.figures = Some(Figures {
            clock: self.clock.name().to_owned(),
            batch: self.batch,
            samples: self.samples.clone(),
            rounds: self.rounds.iter().map(|visit| visit.round).collect(),
            time,
            bandwidth: row.bytes as f64 / time.median,
            rate: row.flops as f64 / time.median,
            share: None,
            bound: None,
            reference: None,
            drift: None,
        });
        row
    }

    /// Gives the row up: nothing that was measured counts.
    fn fails(&mut self, outcome: Outcome, why: String) {
        (self.row.outcome, self.row.conformant, self.row.detail) = (outcome, false, why);
    }
}

pub(crate) struct Session<'a> {
    backend: &'a dyn Backend,
    options: &'a Options,
    ceilings: &'a Ceilings,
    reference: Reference<'a>,
    cold: u64,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        backend: &'a dyn Backend,
        options: &'a Options,
        ceilings: &'a Ceilings,
        mut reference: Reference<'a>,
    ) -> Result<Session<'a>> {
        reference.beat()?;
        Ok(Session { backend, options, ceilings, reference, cold: cold_bytes(backend.info()) })
    }

    pub(crate) fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    pub(crate) fn reference(&self) -> &Reference<'a> {
        &self.reference
    }

    /// Bytes over which weights rotate; 0 where they do not.
    pub(crate) fn cold_bytes(&self) -> u64 {
        if self.options.warm { 0 } else { self.cold }
    }

    /// Visits an item: in the first round it gets its rows, in later ones those that were measured
    /// get more samples. `false` where there was nothing to do.
    pub(crate) fn visit<'i>(&mut self, item: &'i Item, round: usize, rows: &mut Vec<Measured<'i>>) -> bool {
        let copies = if self.options.warm { 1 } else { copies(item, self.cold) };
        if round > 0 {
            if rows.iter().all(|m| m.row.outcome != Outcome::Measured) {
                return false;
            }
            if let Err(e) = self.again(item, copies, round, rows) {
                let measured = rows.iter_mut().filter(|m| m.row.outcome == Outcome::Measured);
                measured.for_each(|m| m.fails(failure(e.kind()), e.to_string()));
            }
            return true;
        }
        let refused = match self.backend.supports(&item.desc) {
            Support::Unsupported(reason) => Some(reason.to_string()),
            _ => refusal(item, copies, self.backend.info()),
        };
        if let Some(reason) = refused {
            rows.push(blank(item, copies, KernelChoice::Auto, Outcome::Skipped, reason));
        } else if let Err(e) = self.first(item, copies, rows) {
            rows.clear();
            rows.push(blank(item, copies, KernelChoice::Auto, failure(e.kind()), e.to_string()));
        }
        true
    }

    /// Every kernel of an item, over the same buffers.
    fn first<'i>(&mut self, item: &'i Item, copies: usize, rows: &mut Vec<Measured<'i>>) -> Result<()> {
        let checker = Checker::new(item, &self.backend.info().numeric_modes)?;
        let bound = Bound::new(self.backend, item, copies)?;
        for (choice, selected) in self.choices(item) {
            let mut measured = blank(item, copies, choice, Outcome::Error, String::new());
            measured.row.selected = selected;
            if let Err(e) = self.check(&bound, &checker, &mut measured) {
                measured.fails(failure(e.kind()), e.to_string());
            }
            rows.push(measured);
        }
        Ok(())
    }

    /// More samples of the rows that were measured.
    fn again(&mut self, item: &Item, copies: usize, round: usize, rows: &mut [Measured<'_>]) -> Result<()> {
        let bound = Bound::new(self.backend, item, copies)?;
        for measured in rows.iter_mut().filter(|m| m.row.outcome == Outcome::Measured) {
            bound.reset()?;
            let plan = bound.compile(measured.choice.clone())?;
            self.samples(&bound, &plan, round, measured)?;
        }
        Ok(())
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

    /// The first visit of a kernel: is it right, does it fit its time, and the first samples.
    fn check(&mut self, bound: &Bound<'_>, checker: &Checker, measured: &mut Measured<'_>) -> Result<()> {
        let item = measured.item;
        let plan = bound.compile(measured.choice.clone())?;
        if measured.row.kernel.is_empty() {
            measured.row.kernel = kernel_names(&plan);
        }
        let roof = Roof::of(&item.desc, measured.working_set(), Clock::Device, self.backend.info(), self.ceilings);
        let least = roof.share(1.0).map_or(0.0, |(_, seconds)| seconds);
        if let Some(reason) = self.too_long("by the ceilings a run takes at least", least) {
            measured.fails(Outcome::Skipped, reason);
            return Ok(());
        }
        let start = Instant::now();
        let mut outputs = bound.run(&plan, 0)?;
        let mut once = start.elapsed();
        // The first run compiles, too.
        if self.too_long("", once.as_secs_f64()).is_some() && once < self.options.row_limit {
            let start = Instant::now();
            outputs = bound.run(&plan, 0)?;
            once = start.elapsed();
        }
        let verdict = checker.compare(item, &outputs)?;
        (measured.row.checked, measured.row.elements) = (verdict.checked, verdict.elements);
        if let Some(wrong) = verdict.wrong {
            measured.fails(Outcome::Wrong, wrong);
            return Ok(());
        }
        if let Some(reason) = self.too_long("a run takes", once.as_secs_f64()) {
            measured.fails(Outcome::Skipped, reason);
            return Ok(());
        }
        measured.bits = bits(&outputs);
        (measured.row.outcome, measured.row.conformant) = (Outcome::Measured, true);
        self.samples(bound, &plan, 0, measured)
    }

    /// Why so long a run cannot be timed within the limit of a row, if it cannot.
    fn too_long(&self, what: &str, seconds: f64) -> Option<String> {
        // One that is checked, two that warm up, and one in each round.
        let runs = self.options.rounds.max(FEWEST) + 3;
        let limit = self.options.row_limit.as_secs_f64();
        (seconds * runs as f64 > limit)
            .then(|| format!("{what} {seconds:.1} s, and {runs} runs are over the {limit} s of a row"))
    }

    /// The samples of one round.
    fn samples(
        &mut self,
        bound: &Bound<'_>,
        plan: &Arc<dyn Plan>,
        round: usize,
        measured: &mut Measured<'_>,
    ) -> Result<()> {
        let rounds = self.options.rounds.max(1);
        let effort = self.options.effort.of_round(round, rounds);
        let first = self.reference.beats().len();
        let mut runs = Rotation::new(self.backend, Arc::clone(plan), &bound.bindings);
        if measured.batch == 0 {
            (measured.clock, measured.batch) = calibrate(&mut runs, &effort)?;
        } else if measured.batch > 1 {
            runs.run(1)?;
        }
        let reference = &mut self.reference;
        let fewest = FEWEST.div_ceil(rounds);
        let samples = sample(&mut runs, measured.batch, &effort, fewest, &mut || reference.beat())?;
        self.reference.beat()?;
        if bits(&bound.read()?) != measured.bits {
            let why = "the output after the timed runs has other bits than the one that was checked";
            measured.fails(Outcome::Wrong, why.to_owned());
            return Ok(());
        }
        let beats = first..self.reference.beats().len();
        let reference = reference::middle(&self.reference.beats()[beats.clone()]).unwrap_or_default();
        measured.rounds.push(Visit { round: Round { samples: samples.len(), reference }, beats });
        measured.samples.extend(samples);
        measured.wanted += effort.samples;
        Ok(())
    }
}

/// A row that says nothing yet.
fn blank(item: &Item, copies: usize, choice: KernelChoice, outcome: Outcome, detail: String) -> Measured<'_> {
    let kernel = match &choice {
        KernelChoice::Named(name) => name.to_string(),
        KernelChoice::Decompose => DECOMPOSITION.to_owned(),
        KernelChoice::Auto => String::new(),
    };
    let row = Row {
        id: item.id.clone(),
        set: item.set.clone(),
        shape: item.shape.clone(),
        op: item.desc.op.name().to_owned(),
        dtype: item.dtype.name().to_owned(),
        kernel,
        selected: true,
        outcome,
        detail,
        conformant: false,
        checked: 0,
        elements: item.desc.outputs.iter().map(TensorDesc::elements).sum(),
        flops: item.desc.flops(),
        bytes: item.desc.bytes(),
        copies,
        figures: None,
        flags: Vec::new(),
    };
    Measured {
        item,
        row,
        choice,
        clock: Clock::Host,
        batch: 0,
        bits: 0,
        samples: Vec::new(),
        wanted: 0,
        rounds: Vec::new(),
    }
}

/// A device that lacks memory for an item has not failed.
fn failure(kind: ErrorKind) -> Outcome {
    if kind == ErrorKind::OutOfMemory { Outcome::Skipped } else { Outcome::Error }
}

/// A hash of outputs, to compare bits between rounds.
fn bits(outputs: &[Vec<u8>]) -> u64 {
    let mut hash = DefaultHasher::new();
    outputs.iter().for_each(|bytes| hash.write(bytes));
    hash.finish()
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
