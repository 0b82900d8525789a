//! The way to the device: a submission, a round trip, bytes there and back. Measured through the
//! contract alone (allocate, write, read, submit), so every device has these figures.

use unisono_core::{Backend, Bindings, BufferDesc, DType, Op, ProgramBuilder, Result, SlotId, SlotKind, TensorDesc};
use web_time::Instant;

use super::{Ceiling, Extent, Unit};

/// Runs of which the best counts.
const REPEATS: usize = 5;
/// Submissions in one measurement of their cost.
const SUBMISSIONS: usize = 200;

pub(super) fn measure(backend: &dyn Backend, extent: Extent) -> Result<Vec<Ceiling>> {
    let mut found = submissions(backend)?;
    let bytes = match extent {
        Extent::Short => 16 << 20,
        Extent::Full => 64 << 20,
    };
    found.extend(transfers(backend, bytes.min(backend.info().max_buffer_bytes))?);
    Ok(found)
}

fn of(name: &str, bytes: Option<u64>, unit: Unit, value: f64, seconds: f64) -> Ceiling {
    let clock = unisono_core::Clock::Host.name().to_owned();
    Ceiling { name: name.to_owned(), bytes, unit, value, seconds, rounds: 0, clock, doubt: None, impossible: false }
}

/// A copy of one element: submitted and waited for, and submitted many times.
fn submissions(backend: &dyn Backend) -> Result<Vec<Ceiling>> {
    let one = TensorDesc::contiguous(DType::F32, &[1])?;
    let mut builder = ProgramBuilder::new();
    let x = builder.operand(SlotKind::Input, one);
    let y = builder.operand(SlotKind::Output, one);
    builder.push(Op::Copy, &[x], &[y])?;
    let plan = backend.compile(&builder.finish())?;
    let mut bindings = Bindings::new();
    for slot in [0, 1] {
        let buffer = backend.alloc(&BufferDesc::new(4))?;
        backend.write(&buffer, 0, &[0; 4])?;
        bindings.set(SlotId(slot), buffer);
    }
    let (mut trip, mut each) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..10 * REPEATS {
        let start = Instant::now();
        backend.submit(&plan, &bindings)?.wait()?;
        trip = trip.min(start.elapsed().as_secs_f64());
    }
    for _ in 0..REPEATS {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..SUBMISSIONS {
            last = Some(backend.submit(&plan, &bindings)?);
        }
        if let Some(ticket) = last {
            ticket.wait()?;
        }
        each = each.min(start.elapsed().as_secs_f64() / SUBMISSIONS as f64);
    }
    Ok(vec![
        of("round_trip", None, Unit::Seconds, trip, trip),
        of("submit", None, Unit::Seconds, each, each * SUBMISSIONS as f64),
    ])
}

/// A write that something later waits for, and a read.
fn transfers(backend: &dyn Backend, bytes: u64) -> Result<Vec<Ceiling>> {
    let buffer = backend.alloc(&BufferDesc::new(bytes))?;
    let host: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
    let (mut there, mut back) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..REPEATS {
        let start = Instant::now();
        backend.write(&buffer, 0, &host)?;
        // A read of the last bytes comes after the write.
        backend.read(&buffer, bytes.saturating_sub(4)..bytes).wait()?;
        there = there.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        backend.read(&buffer, 0..bytes).wait()?;
        back = back.min(start.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| bytes as f64 / seconds;
    Ok(vec![
        of("host_to_device", Some(bytes), Unit::Bytes, rate(there), there),
        of("device_to_host", Some(bytes), Unit::Bytes, rate(back), back),
    ])
}
