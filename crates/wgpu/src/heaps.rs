//! How much memory a device has. WebGPU has no such question; Vulkan does, and is asked directly.

/// Bytes of the largest heap that the device calls local to itself: its own memory on a graphics card,
/// what it may take of the host's elsewhere. Heaps are not added up: a window of a card's memory that the
/// host can see is listed as a heap of its own by some drivers. `None` on other APIs.
#[cfg(not(any(target_family = "wasm", target_vendor = "apple")))]
pub(crate) fn device_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the handle is only read and is not destroyed.
    let adapter = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = adapter.shared_instance().raw_instance();
    // SAFETY: the physical device belongs to this instance, and both outlive the call: the adapter keeps
    // them.
    let properties = unsafe { instance.get_physical_device_memory_properties(adapter.raw_physical_device()) };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
}

#[cfg(any(target_family = "wasm", target_vendor = "apple"))]
pub(crate) fn device_memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}
