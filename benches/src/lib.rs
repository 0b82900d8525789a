//! What criterion benchmarks share: the devices they run on, operations bound to them, and a
//! measurement by the devices' own clocks.
//!
//! The operations are those of `unisono bench`, whose crate binds and times them; criterion adds its
//! statistics and its baselines.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use unisono::{Device, DeviceSummary, KernelChoice, Result};
use unisono_bench::cases::Item;
use unisono_bench::cold::Bound;
use unisono_bench::timing::{Rotation, Runs};

/// A device that the first benchmark on it opens: a filter may leave none.
#[derive(Debug)]
pub struct Lazy {
    /// What it is.
    pub summary: DeviceSummary,
    device: OnceCell<Device>,
}

impl Lazy {
    /// The device.
    pub fn device(&self) -> Result<&Device> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let device = self.summary.open()?;
        Ok(self.device.get_or_init(|| device))
    }
}

/// The devices to measure: those named in `UNISONO_BENCH_DEVICES` (comma separated), else all.
pub fn devices() -> Result<Vec<Lazy>> {
    let all = unisono::devices();
    let chosen = match std::env::var("UNISONO_BENCH_DEVICES") {
        Err(_) => all,
        Ok(names) => {
            let matching = names.split(',').map(|name| unisono::matching(&all, name.trim()));
            matching.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    Ok(chosen.into_iter().map(|summary| Lazy { summary, device: OnceCell::new() }).collect())
}

/// Time that operations spent: by timestamps of their device, or by the host's clock where it has
/// none. What lies between operations does not count.
#[derive(Clone, Debug, Default)]
pub struct DeviceTime {
    spent: Rc<Cell<Duration>>,
}

impl DeviceTime {
    /// Runs an operation `count` times and counts what it took.
    pub fn run(&self, operation: &mut dyn Runs, count: u64) -> Result<()> {
        // Timestamps and command buffers are finite.
        const MOST: u64 = 4096;
        let mut left = count;
        while left > 0 {
            let now = left.min(MOST);
            let (_, time) = operation.run(now as usize)?;
            self.spent.set(self.spent.get() + time);
            left -= now;
        }
        Ok(())
    }
}

impl Measurement for DeviceTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        self.spent.get()
    }

    fn end(&self, start: Duration) -> Duration {
        self.spent.get() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Calls `then` with `item` bound to `device` by the kernel that the selector picks.
pub fn bound<T>(device: &Device, item: &Item, then: impl FnOnce(&mut dyn Runs) -> T) -> Result<T> {
    let backend = &**device.backend();
    let bound = Bound::new(backend, item, 1)?;
    let plan = bound.compile(KernelChoice::Auto)?;
    Ok(then(&mut Rotation::new(backend, plan, &bound.bindings)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::Clock;

    struct Millisecond(usize);

    impl Runs for Millisecond {
        fn run(&mut self, count: usize) -> Result<(Clock, Duration)> {
            self.0 += count;
            Ok((Clock::Device, Duration::from_millis(count as u64)))
        }
    }

    #[test]
    fn the_measurement_is_what_operations_report() {
        let time = DeviceTime::default();
        let mut operation = Millisecond(0);
        time.run(&mut operation, 3).unwrap();
        let start = time.start();
        std::thread::sleep(Duration::from_millis(20));
        time.run(&mut operation, 5000).unwrap();
        assert_eq!(time.end(start), Duration::from_millis(5000));
        assert_eq!(operation.0, 5003);
        assert_eq!(time.to_f64(&Duration::from_micros(2)), 2000.0);
    }
}
