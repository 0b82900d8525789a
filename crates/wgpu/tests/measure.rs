//! A device's clock and probes: what benchmarks rest on.

use std::time::{Duration, Instant};

use unisono_core::{Backend, Clock, DType, ErrorKind, ProbeKind};

mod common;

use common::{additions, bind, devices, download, options, upload};

const KINDS: [ProbeKind; 8] = [
    ProbeKind::Read { bytes: 1 << 22 },
    ProbeKind::Copy { bytes: 1 << 22 },
    ProbeKind::Triad { bytes: 3 << 21 },
    ProbeKind::Fma(DType::F32),
    ProbeKind::Fma(DType::F16),
    ProbeKind::DotInt8,
    ProbeKind::WorkgroupMemory,
    ProbeKind::SubgroupAdd,
];

#[test]
fn probes_run_where_the_device_has_what_they_are_about() {
    for device in devices(&options()) {
        let has = |feature: &str| device.info().features.iter().any(|f| f == feature);
        let clock = if has("timestamp-query") { Clock::Device } else { Clock::Host };
        for kind in KINDS {
            let exists = match kind {
                ProbeKind::Fma(DType::F16) => has("shader-f16"),
                ProbeKind::SubgroupAdd => has("subgroup"),
                _ => true,
            };
            let run = device.probe(kind, 1).unwrap();
            assert_eq!(run.is_some(), exists, "{kind:?} on {:?}", device.info());
            let Some(run) = run else { continue };
            let more = device.probe(kind, 8).unwrap().unwrap();
            assert_eq!((run.clock, more.clock), (clock, clock), "{kind:?}");
            assert!(run.work > 0.0 && more.work >= 2.0 * run.work, "{kind:?}: {run:?} {more:?}");
            assert!(more.time > Duration::ZERO && more.rate().is_finite(), "{kind:?}: {more:?}");
        }
        let empty = device.probe(ProbeKind::Empty, 100).unwrap().unwrap();
        assert_eq!(empty.work, 100.0);
        assert!(device.probe(ProbeKind::Matrix(DType::F16), 1).unwrap().is_none());
        assert!(device.probe(ProbeKind::Fma(DType::I32), 1).unwrap().is_none());
    }
}

#[test]
fn more_rounds_take_longer() {
    for device in devices(&options()) {
        let time = |rounds| {
            let times = (0..5).map(|_| device.probe(ProbeKind::Fma(DType::F32), rounds).unwrap().unwrap().time);
            times.min().unwrap()
        };
        let (short, long) = (time(20), time(400));
        // Twenty times the work. A compiler that folds the loop would need the same time.
        assert!(long > 4 * short, "{short:?} and {long:?} on {:?}", device.info());
    }
}

#[test]
fn the_clock_measures_all_runs_of_a_plan() {
    for device in devices(&options()) {
        let (program, x, y) = additions(200_000, 3);
        let plan = device.compile(&program).unwrap();
        let input = upload(&device, &[1.5; 200_000]);
        let outputs = [(); 2].map(|()| upload(&device, &[0.0; 200_000]));
        let runs: Vec<_> = outputs.iter().map(|output| bind(&[(x, &input), (y, output)])).collect();
        let dispatches = device.counters().dispatches;
        let start = Instant::now();
        let time = device.time(&plan, &runs).unwrap();
        let elapsed = start.elapsed();
        if !device.info().features.iter().any(|f| f == "timestamp-query") {
            assert_eq!(time, None);
            continue;
        }
        let time = time.unwrap();
        assert!(time > Duration::ZERO && time <= elapsed, "{time:?} of {elapsed:?}");
        for output in &outputs {
            assert_eq!(download(&device, output), [6.0; 200_000], "timing runs the plan");
        }
        assert_eq!(device.counters().dispatches, dispatches + 6);
        assert_eq!(device.time(&plan, &[]).unwrap(), Some(Duration::ZERO));
        let wrong = device.time(&plan, &[bind(&[(x, &input)])]).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Invalid, "{wrong}");
    }
}
