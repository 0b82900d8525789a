//! Whole runs on the CPU backend behind a double that can have a clock, probes, little memory and
//! faults.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use unisono_bench::cases::{Item, Selection, items};
use unisono_bench::ceilings::{Ceilings, Extent, Sweep, measure};
use unisono_bench::data::Patterns;
use unisono_bench::report::{DeviceBench, Outcome};
use unisono_bench::run::{Event, Options, run};
use unisono_bench::timing::Effort;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Clock, Counters, DeviceInfo, DeviceKind, OpDesc, Pending, Plan, ProbeKind,
    ProbeRun, Program, Readback, Result, Support, Ticket,
};
use unisono_cpu::CpuBackend;

const CASE: &str = "matmul/decode:dtype=f16,m=1,k=255,n=513,layout=nt,data=normal:seed=1";

#[derive(Debug)]
struct Double {
    inner: Arc<CpuBackend>,
    info: DeviceInfo,
    /// What one run takes by the device's clock.
    each: Option<Duration>,
    /// Seconds of a round of a probe; 0 for a probe whose loop was removed.
    round: Option<f64>,
    /// Whether the last element of what is read is another one.
    faulty: bool,
    /// How often outputs are read before they become faulty.
    reads: AtomicU32,
    most_rounds: AtomicU32,
}

impl Double {
    fn new() -> Double {
        let inner = CpuBackend::new().unwrap();
        let info = DeviceInfo::new("double", "double", DeviceKind::DiscreteGpu);
        Double {
            inner,
            info,
            each: None,
            round: None,
            faulty: false,
            reads: AtomicU32::new(0),
            most_rounds: AtomicU32::new(0),
        }
    }
}

impl Backend for Double {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn supports(&self, op: &OpDesc) -> Support {
        self.inner.supports(op)
    }
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.inner.kernels(op)
    }
    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.inner.alloc(desc)
    }
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner.write(buffer, offset, bytes)
    }
    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        let read = self.inner.read(buffer, range).wait();
        let left = self.reads.load(Ordering::Relaxed);
        let turns = left == 1;
        self.reads.store(left.saturating_sub(1), Ordering::Relaxed);
        Pending::ready(read.map(|mut bytes| {
            if let Some(last) = bytes.last_mut().filter(|_| self.faulty || turns) {
                *last ^= 0x40;
            }
            bytes
        }))
    }
    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        self.inner.compile(program)
    }
    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        self.inner.submit(plan, bindings)
    }
    fn counters(&self) -> Counters {
        self.inner.counters()
    }
    fn time(&self, plan: &Arc<dyn Plan>, runs: &[Bindings]) -> Result<Option<Duration>> {
        for bindings in runs {
            self.inner.submit(plan, bindings)?.wait()?;
        }
        Ok(self.each.map(|each| each * runs.len() as u32))
    }
    fn probe(&self, _: ProbeKind, rounds: u32) -> Result<Option<ProbeRun>> {
        self.most_rounds.fetch_max(rounds, Ordering::Relaxed);
        Ok(self.round.map(|round| ProbeRun {
            work: 1e6 * f64::from(rounds),
            time: Duration::from_secs_f64(round * f64::from(rounds) + 1e-5),
            clock: Clock::Device,
        }))
    }
}

fn case(patterns: &mut Patterns) -> Vec<Item> {
    items(&Selection { cases: vec![CASE.into()], ..Selection::default() }, patterns).unwrap()
}

fn run_on(backend: &Double, candidates: bool) -> DeviceBench {
    let mut patterns = Patterns::new();
    let items = case(&mut patterns);
    let effort = Effort { limit: Duration::from_millis(100), ..Effort::default() };
    let options = Options { effort, candidates, ..Options::default() };
    run(backend, &items, &mut patterns, &options, &mut |_| ()).unwrap()
}

#[test]
fn a_clock_of_the_device_is_used_and_shares_follow_from_the_probes() {
    let double = Double { each: Some(Duration::from_millis(1)), round: Some(1e-3), ..Double::new() };
    let bench = run_on(&double, false);
    let row = &bench.rows[0];
    assert!(row.conformant && row.outcome == Outcome::Measured, "{}", row.detail);
    let figures = row.figures.as_ref().unwrap();
    assert_eq!((figures.clock.as_str(), figures.time.median), ("device", 1e-3));
    // Every probe gives about 1e9 units per second, launches included.
    let share = figures.share.unwrap();
    let memory = row.bytes as f64 / 1e9 / 1e-3;
    assert!((share / memory - 1.0).abs() < 0.05, "{share} {memory}");
    assert!((figures.drift.unwrap() - 1.0).abs() < 1e-9, "the reference is steady");
}

#[test]
fn without_a_clock_the_host_is_asked_and_said() {
    let bench = run_on(&Double::new(), false);
    let row = &bench.rows[0];
    let figures = row.figures.as_ref().unwrap();
    assert_eq!((figures.clock.as_str(), figures.share), ("host", None), "no probes, no share");
    assert!(row.conformant && figures.time.median > 0.0 && figures.bandwidth > 0.0);
}

#[test]
fn rows_are_visited_in_rounds_and_each_visit_is_heard() {
    let double = Double { each: Some(Duration::from_millis(1)), ..Double::new() };
    let mut patterns = Patterns::new();
    let mut items = case(&mut patterns);
    items.push(Item { id: "second".into(), ..items[0].clone() });
    let effort = Effort { limit: Duration::from_secs(600), ..Effort::default() };
    let options = Options { effort, rounds: 4, ..Options::default() };
    let (mut order, mut sizes) = (Vec::new(), Vec::new());
    let bench = run(&double, &items, &mut patterns, &options, &mut |event| match event {
        Event::Begin { .. } => {}
        Event::Row { round, row } => order.push((round, row.id.clone())),
        Event::Visited(so_far) => {
            let samples = |row: &unisono_bench::report::Row| row.figures.as_ref().unwrap().samples.len();
            sizes.push(so_far.rows.iter().map(samples).collect::<Vec<_>>());
        }
    })
    .unwrap();
    let ids = [CASE, "second"];
    let expected: Vec<(usize, String)> = (0..4).flat_map(|r| ids.map(|id| (r, id.to_owned()))).collect();
    assert_eq!(order, expected, "all rows have their turn before one has its next");
    assert_eq!(sizes[..4], [vec![3], vec![3, 3], vec![7, 3], vec![7, 7]]);
    let figures = bench.rows[1].figures.as_ref().unwrap();
    let rounds: Vec<usize> = figures.rounds.iter().map(|r| r.samples).collect();
    assert_eq!((rounds, figures.samples.len()), (vec![3, 4, 4, 4], 15));
    assert!(figures.rounds.iter().all(|r| r.reference.compute > 0.0 && r.reference.memory > 0.0));
    assert!(bench.rows.iter().all(|row| row.flags.is_empty()), "{:?}", bench.rows[0].flags);
}

#[test]
fn other_bits_in_a_later_round_are_a_wrong_result() {
    // Read once when it is checked and once after each round: the fourth is of the third round.
    let double = Double { each: Some(Duration::from_millis(1)), reads: AtomicU32::new(4), ..Double::new() };
    let mut patterns = Patterns::new();
    let items = case(&mut patterns);
    // Ceilings are measured with reads, too.
    let options = Options { ceilings: Some(Ceilings::default()), ..Options::default() };
    let bench = run(&double, &items, &mut patterns, &options, &mut |_| ()).unwrap();
    let row = &bench.rows[0];
    assert_eq!((row.outcome, row.conformant), (Outcome::Wrong, false));
    assert!(row.figures.is_none() && row.detail.contains("other bits"), "{}", row.detail);
}

#[test]
fn a_row_that_would_take_too_long_is_skipped_with_the_reason() {
    let mut patterns = Patterns::new();
    let items = case(&mut patterns);
    let options = Options { row_limit: Duration::ZERO, ..Options::default() };
    let run_on = |double: &Double, patterns: &mut Patterns| {
        run(double, &items, patterns, &options, &mut |_| ()).unwrap().rows.remove(0)
    };
    let row = run_on(&Double::new(), &mut patterns);
    assert_eq!((row.outcome, row.conformant), (Outcome::Skipped, false));
    assert!(row.figures.is_none() && row.detail.contains("a run takes"), "{}", row.detail);
    // With ceilings it is known before the first run.
    let row = run_on(&Double { round: Some(1e-3), ..Double::new() }, &mut patterns);
    assert!(row.outcome == Outcome::Skipped && row.detail.contains("by the ceilings"), "{}", row.detail);
}

#[test]
fn a_wrong_result_has_no_figure() {
    let bench = run_on(&Double { faulty: true, ..Double::new() }, false);
    let row = &bench.rows[0];
    assert_eq!((row.outcome, row.conformant), (Outcome::Wrong, false));
    assert!(row.figures.is_none() && row.detail.contains("over the bound"), "{}", row.detail);
}

#[test]
fn every_kernel_has_a_row_and_one_is_chosen() {
    let double = Double::new();
    let bench = run_on(&double, true);
    let kernels = double.kernels(&case(&mut Patterns::new())[0].desc);
    assert_eq!(bench.rows.len(), kernels.len());
    assert!(bench.rows.iter().zip(&kernels).all(|(row, name)| row.kernel == **name && row.conformant));
    assert_eq!(bench.rows.iter().filter(|r| r.selected).count(), 1);
}

#[test]
fn what_does_not_fit_is_skipped_with_the_reason() {
    let mut double = Double::new();
    double.info.memory = Some(1 << 10);
    let bench = run_on(&double, false);
    assert_eq!(bench.rows[0].outcome, Outcome::Skipped);
    assert!(bench.rows[0].detail.contains("MiB"), "{}", bench.rows[0].detail);
}

#[test]
fn a_probe_whose_loop_was_removed_is_no_ceiling() {
    let sweep = |double: &Double| Sweep { limit: Duration::MAX, ..Sweep::of(double.info(), Extent::Full) };
    let removed = Double { round: Some(1e-12), ..Double::new() };
    let found = measure(&removed, &sweep(&removed), &mut |_| ()).unwrap();
    assert_eq!(found.best("read"), None);
    let read = found.0.iter().find(|c| c.name == "read").unwrap();
    assert!(read.impossible && read.doubt.as_ref().is_some_and(|d| d.contains("twice the work")), "{read:?}");
    assert!(!found.passed());
    assert!(removed.most_rounds.load(Ordering::Relaxed) <= 1 << 15, "loops of devices have limits");
    let honest = Double { round: Some(1e-3), ..Double::new() };
    let found = measure(&honest, &sweep(&honest), &mut |_| ()).unwrap();
    assert!(found.passed() && found.0.iter().all(|c| c.doubt.is_none()));
    assert!((found.best("fma_f32").unwrap() / 1e9 - 1.0).abs() < 0.01);
    for name in ["matrix_f16", "workgroup_memory", "subgroup_add", "empty", "submit", "host_to_device"] {
        assert!(found.0.iter().any(|c| c.name == name), "{name}");
    }
}
