//! An open device: what was asked of the adapter, and how its errors become ours.
//!
//! wgpu reports errors on the side: to error scopes, to a callback, or by losing the device.
//! [`Gpu::capture`] runs a piece of work and turns whatever was reported into a
//! [`unisono_core::Error`], so no other module deals with it and nothing ends in a panic.

use std::sync::{Arc, Mutex, PoisonError};

use unisono_core::{Error, ErrorKind, Result};

use crate::options::WgpuOptions;

/// Optional features that kernels or this crate can use.
const WANTED: [(wgpu::Features, &str); 4] = [
    (wgpu::Features::SHADER_F16, "shader-f16"),
    (wgpu::Features::SUBGROUP, "subgroup"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline-cache"),
];

/// Matrix units, for devices that are asked for them.
const MATRIX_UNITS: (wgpu::Features, &str) = (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative-matrix");

/// The optional features that a device with `options` is asked for.
fn wanted(options: &WgpuOptions) -> impl Iterator<Item = (wgpu::Features, &'static str)> {
    let plain = WANTED.into_iter().filter(|_| !options.default_limits);
    plain.chain(options.matrix_units.then_some(MATRIX_UNITS))
}

/// Their names.
pub(crate) fn wanted_features(options: &WgpuOptions) -> Vec<String> {
    wanted(options).map(|(_, name)| name.to_owned()).collect()
}

/// A wgpu device with its queue.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) limits: wgpu::Limits,
    pub(crate) features: wgpu::Features,
    /// Bytes of the device's own memory, where the API says.
    pub(crate) memory: Option<u64>,
    /// Name and id, for errors.
    pub(crate) label: String,
    faults: Arc<Faults>,
}

/// What the device reported on the side.
#[derive(Debug, Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<(ErrorKind, String)>>,
}

impl Gpu {
    /// Opens `adapter` with its own limits and the features in use, or with the limits that every
    /// implementation has.
    pub(crate) async fn open(adapter: &wgpu::Adapter, label: String, options: &WgpuOptions) -> Result<Gpu> {
        let limits = match options.default_limits {
            true => wgpu::Limits::default().or_worse_values_from(&adapter.limits()),
            false => adapter.limits(),
        };
        let wanted = wanted(options).fold(wgpu::Features::empty(), |all, (feature, _)| all | feature);
        let features = adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("unisono"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::Performance,
            experimental_features: match options.matrix_units {
                // SAFETY: whoever asks for matrix units accepts that wgpu may have faults there.
                true => unsafe { wgpu::ExperimentalFeatures::enabled() },
                false => wgpu::ExperimentalFeatures::disabled(),
            },
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            Error::new(ErrorKind::DeviceLost, format!("the device could not be opened: {e}")).on_device(&label)
        })?;
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}") } else { format!("{reason:?}: {message}") };
            lock(&shared.lost).get_or_insert(message);
        });
        let shared = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&shared.uncaptured).get_or_insert_with(|| describe(&error));
        }));
        let (limits, features) = (device.limits(), device.features());
        let memory = crate::heaps::device_memory(adapter);
        Ok(Gpu { device, queue, limits, features, memory, label, faults })
    }

    /// Names of the optional features in use.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        let used = WANTED.iter().chain([&MATRIX_UNITS]).filter(|(feature, _)| self.features.contains(*feature));
        used.map(|(_, name)| (*name).to_owned()).collect()
    }

    /// An error if the device is gone.
    pub(crate) fn check_lost(&self) -> Result<()> {
        match &*lock(&self.faults.lost) {
            None => Ok(()),
            Some(reason) => {
                Err(Error::new(ErrorKind::DeviceLost, format!("the device was lost: {reason}")).on_device(&self.label))
            }
        }
    }

    /// Runs `work` and returns its result, or the error that wgpu reported meanwhile. `what` names
    /// the work in the error's message.
    pub(crate) fn capture<T>(&self, what: impl Fn() -> String, work: impl FnOnce() -> T) -> Result<T> {
        self.check_lost()?;
        let (value, reported) = self.scoped(work);
        self.check_lost()?;
        match reported.or_else(|| lock(&self.faults.uncaptured).take()) {
            None => Ok(value),
            Some((kind, message)) => Err(Error::new(kind, format!("{}: {message}", what())).on_device(&self.label)),
        }
    }

    /// Scopes are per thread, so concurrent callers see their own errors only.
    #[cfg(not(target_family = "wasm"))]
    fn scoped<T>(&self, work: impl FnOnce() -> T) -> (T, Option<(ErrorKind, String)>) {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let outer = self.device.push_error_scope(Internal);
        let middle = self.device.push_error_scope(OutOfMemory);
        let inner = self.device.push_error_scope(Validation);
        let value = work();
        // Out of memory first: what follows from it is reported as a validation error.
        let validation = pollster::block_on(inner.pop());
        let memory = pollster::block_on(middle.pop());
        let internal = pollster::block_on(outer.pop());
        (value, memory.or(validation).or(internal).as_ref().map(describe))
    }

    /// In a browser scopes answer later; errors arrive at the callback and are reported by the
    /// next call.
    #[cfg(target_family = "wasm")]
    fn scoped<T>(&self, work: impl FnOnce() -> T) -> (T, Option<(ErrorKind, String)>) {
        (work(), None)
    }

    /// Blocks until `submission` has finished and its callbacks have run.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.check_lost()?;
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: None };
        // wgpu panics when the device is lost while it polls; that must not reach a caller.
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.device.poll(poll)));
        self.check_lost()?;
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Error::internal(format!("waiting for the device failed: {e}")).on_device(&self.label)),
            Err(_) => {
                let message = "the driver failed while the device was waited for";
                Err(Error::new(ErrorKind::DeviceLost, message).on_device(&self.label))
            }
        }
    }
}

fn describe(error: &wgpu::Error) -> (ErrorKind, String) {
    match error {
        wgpu::Error::OutOfMemory { source } => (ErrorKind::OutOfMemory, source.to_string()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            (ErrorKind::Internal, description.trim().to_owned())
        }
    }
}

/// Locks; a panic of another holder leaves the data as it is, which is always consistent here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
