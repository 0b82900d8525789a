//! Compiled pipelines on disk, where the driver can hand them out.
//!
//! The file is named by a hash of adapter, driver, wgpu version and all shader texts, so that an
//! update of any of them starts afresh. It is written under a temporary name and renamed, and
//! carries a checksum, so a reader sees a whole file or none. Failing to read or write is never an
//! error: it only costs compile time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::device::{Gpu, lock};

/// Time between two saves of a process that keeps compiling.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
const MAGIC: [u8; 8] = *b"UNISOPC1";
const HEADER_BYTES: usize = 16;

/// The pipeline cache of one device.
#[derive(Debug)]
pub(crate) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    unsaved: bool,
    saved_at: Option<Instant>,
}

impl DiskCache {
    /// The cache of the user's cache folder, if the device supports it and there is such a folder.
    pub(crate) fn open(gpu: &Gpu, adapter: &wgpu::AdapterInfo) -> Option<DiskCache> {
        DiskCache::open_in(&user_cache_dir()?, gpu, adapter)
    }

    pub(crate) fn open_in(dir: &Path, gpu: &Gpu, adapter: &wgpu::AdapterInfo) -> Option<DiskCache> {
        if !gpu.features.contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = dir.join(file_name(adapter));
        let data = load(&path);
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("unisono"), data: data.as_deref(), fallback: true };
        let create = || {
            // SAFETY: the data was written by `store` from `PipelineCache::get_data` for the same
            // adapter, driver and wgpu version, which name the file, and its checksum was verified.
            unsafe { gpu.device.create_pipeline_cache(&descriptor) }
        };
        let cache = gpu.capture(|| "opening the pipeline cache".to_owned(), create).ok()?;
        Some(DiskCache { cache, path, state: Mutex::default() })
    }

    pub(crate) fn raw(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// To be called after pipelines were built: saves, unless that was done just before.
    pub(crate) fn grown(&self) {
        let mut state = lock(&self.state);
        state.unsaved = true;
        if state.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL) {
            self.save(&mut state);
        }
    }

    fn save(&self, state: &mut State) {
        let Some(data) = self.cache.get_data() else { return };
        match store(&self.path, &data) {
            Ok(()) => *state = State { unsaved: false, saved_at: Some(Instant::now()) },
            Err(e) => log::debug!("the pipeline cache {} was not saved: {e}", self.path.display()),
        }
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *lock(&self.state));
        if state.unsaved {
            self.save(&mut state);
        }
    }
}

fn file_name(adapter: &wgpu::AdapterInfo) -> String {
    let mut hash = Fnv::default();
    for part in [&adapter.name, &adapter.driver, &adapter.driver_info] {
        hash.write(part.as_bytes());
    }
    hash.write(&adapter.vendor.to_le_bytes());
    hash.write(&adapter.device.to_le_bytes());
    hash.write(adapter.backend.to_str().as_bytes());
    hash.write(crate::WGPU_VERSION.as_bytes());
    for variant in unisono_shaders::VARIANTS {
        hash.write(variant.wgsl.as_bytes());
    }
    format!("pipelines-{:016x}.bin", hash.0)
}

fn user_cache_dir() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = if cfg!(target_os = "windows") {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    base.filter(|path| path.is_absolute()).map(|path| path.join("unisono"))
}

/// The content of a file that [`store`] wrote; `None` if there is none or it is damaged.
fn load(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let data = bytes.get(HEADER_BYTES..)?;
    if bytes[..HEADER_BYTES] != header(data) {
        return None;
    }
    Some(bytes.split_off(HEADER_BYTES))
}

fn store(path: &Path, data: &[u8]) -> std::io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let unique = format!("{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let temporary = path.with_extension(unique);
    let written =
        std::fs::write(&temporary, [&header(data)[..], data].concat()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn header(data: &[u8]) -> [u8; HEADER_BYTES] {
    let mut hash = Fnv::default();
    hash.write(data);
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&hash.0.to_le_bytes());
    header
}

/// FNV-1a with 64 bits: the same on every machine and in every version, unlike std's hasher.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        // The length separates neighbours: ("ab", "c") is not ("a", "bc").
        self.0 = bytes.iter().fold(self.0, mix) ^ bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary_dir(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("unisono-wgpu-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_stored_file_is_loaded_and_a_damaged_one_is_not() {
        let dir = temporary_dir("cache");
        let path = dir.join("pipelines.bin");
        assert_eq!(load(&path), None);
        store(&path, b"first").unwrap();
        store(&path, b"second").unwrap();
        assert_eq!(load(&path).as_deref(), Some(&b"second"[..]));
        let names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(names, ["pipelines.bin"], "temporary files were left behind");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(load(&path), None);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(load(&path), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn another_driver_gets_another_file() {
        let a = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        let mut b = a.clone();
        b.driver_info = "2.0".to_owned();
        assert_eq!(file_name(&a), file_name(&a.clone()));
        assert_ne!(file_name(&a), file_name(&b));
    }
}
