//! Does it fit? What a model asks for is compared with what the device has before anything is
//! uploaded, and an allocation that fails all the same is explained: what was asked, what there is
//! and what helps.

use std::fmt;

use unisono_core::{DType, Device, DeviceKind, Error, ErrorKind, Result};

use crate::config::ModelConfig;
use crate::engine::cache::Layout;

/// What is asked of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Bytes of weights that are not on the device yet.
    pub(crate) weights: u64,
    /// The key-value cache.
    pub(crate) layout: Layout,
    /// Its element type.
    pub(crate) dtype: DType,
}

impl Demand {
    fn cache_bytes(&self, config: &ModelConfig) -> Result<u64> {
        let layer = self.layout.layer_bytes(config, self.dtype)?;
        Ok(layer.saturating_mul(2).saturating_mul(config.num_hidden_layers as u64))
    }

    /// Fails where the device is known to have less.
    pub(crate) fn check(&self, device: &Device, config: &ModelConfig) -> Result<()> {
        let (info, used) = (device.info(), device.counters().bytes_now);
        let layer = self.layout.layer_bytes(config, self.dtype)?;
        if layer > info.max_buffer_bytes {
            let (asked, most) = (Bytes(layer), Bytes(info.max_buffer_bytes));
            let why = format!("the keys of one layer are {asked}, and the device's largest buffer is {most}");
            return Err(self.error(&why, device, config));
        }
        let asked = self.weights.saturating_add(self.cache_bytes(config)?);
        // What shares the host's memory may reach more of it than it calls its own.
        let shares = matches!(info.kind, DeviceKind::IntegratedGpu | DeviceKind::Software);
        match info.memory.filter(|_| !shares) {
            Some(memory) if asked > memory.saturating_sub(used) => {
                let (asked, free) = (Bytes(asked), Bytes(memory.saturating_sub(used)));
                Err(self.error(&format!("{asked} are asked for, and {free} are free"), device, config))
            }
            _ => Ok(()),
        }
    }

    /// Explains a failed allocation; other errors stay as they are.
    pub(crate) fn explain(&self, error: Error, device: &Device, config: &ModelConfig) -> Error {
        match error.kind() {
            ErrorKind::OutOfMemory => self.error(error.message(), device, config),
            _ => error,
        }
    }

    fn error(&self, why: &str, device: &Device, config: &ModelConfig) -> Error {
        let (info, used) = (device.info(), device.counters().bytes_now);
        let cache = self.cache_bytes(config).unwrap_or(u64::MAX);
        let place = match self.layout {
            Layout::Contiguous { caches: 1, context_len } => format!("a context of {context_len} tokens"),
            Layout::Contiguous { caches, context_len } => format!("{caches} contexts of {context_len} tokens"),
            Layout::Paged { pages, page_size } => format!("{pages} pages of {page_size} tokens"),
        };
        let weights = match self.weights {
            0 => String::new(),
            bytes => format!("{} of weights and ", Bytes(bytes)),
        };
        let memory = info.memory.map_or_else(|| "an unknown amount".to_owned(), |bytes| Bytes(bytes).to_string());
        let mut advice = vec!["a smaller context"];
        if self.dtype == DType::F32 {
            advice.push("a cache of f16");
        }
        match self.layout {
            Layout::Contiguous { caches: 1, .. } => {}
            Layout::Contiguous { .. } => advice.extend(["fewer texts at once", "a paged cache"]),
            Layout::Paged { .. } => advice.push("fewer pages"),
        }
        if self.weights > 0 {
            advice.push("weights in a smaller format");
        }
        let message = format!(
            "not enough memory: {why}. Asked for: {weights}{cache} of key-value cache ({place}, {dtype}, {layers} \
             layers). The device has {memory}, {used} in use. What helps: {advice}",
            cache = Bytes(cache),
            dtype = self.dtype,
            layers = config.num_hidden_layers,
            used = Bytes(used),
            advice = advice.join(", "),
        );
        Error::new(ErrorKind::OutOfMemory, message).on_device(&info.name)
    }
}

/// A size in the largest unit that leaves at least one, in steps of 1024.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        let place = |&i: &usize| self.0 >> (10 * (i + 1)) > 0;
        match (0..units.len()).rev().find(place) {
            Some(i) => write!(f, "{:.1} {}", self.0 as f64 / (1u64 << (10 * (i + 1))) as f64, units[i]),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn sizes_read_well() {
        let cases = [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB")];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
