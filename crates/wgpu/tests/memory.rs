//! Buffers: ranges of any alignment, recycling, poison, limits.

mod common;

use common::{devices, download, options, upload};
use unisono_core::{Backend, Buffer, BufferDesc, ErrorKind};
use unisono_wgpu::{WgpuBackend, WgpuOptions};

fn alloc(device: &WgpuBackend, bytes: u64) -> Buffer {
    device.alloc(&BufferDesc::new(bytes)).unwrap()
}

#[test]
fn any_offset_and_length_can_be_written() {
    for device in devices(&options()) {
        let background: Vec<u8> = (100..124).collect();
        for base in [0u64, 252] {
            for offset in base..base + 8 {
                for len in 0..=9 {
                    let buffer = alloc(&device, base + 24);
                    device.write(&buffer, base, &background).unwrap();
                    let patch: Vec<u8> = (0..len).map(|i| 1 + i as u8).collect();
                    device.write(&buffer, offset, &patch).unwrap();
                    let mut expected = background.clone();
                    let at = (offset - base) as usize;
                    expected[at..at + len].copy_from_slice(&patch);
                    let found = device.read(&buffer, base..base + 24).wait().unwrap();
                    assert_eq!(found, expected, "{len} bytes at {offset} on {}", device.info().name);
                }
            }
        }
    }
}

#[test]
fn any_range_can_be_read() {
    for device in devices(&options()) {
        let content: Vec<u8> = (0..17).collect();
        let buffer = alloc(&device, 17);
        device.write(&buffer, 0, &content).unwrap();
        for start in 0..=17 {
            for end in start..=17 {
                let found = device.read(&buffer, start..end).wait().unwrap();
                assert_eq!(found, content[start as usize..end as usize], "{start}..{end} on {}", device.info().name);
            }
        }
    }
}

#[test]
fn an_odd_tail_is_written_without_touching_its_neighbours() {
    for device in devices(&options()) {
        for bytes in 1..=9u64 {
            let buffer = alloc(&device, bytes);
            device.write(&buffer, 0, &vec![7; bytes as usize]).unwrap();
            device.write(&buffer, bytes - 1, &[9]).unwrap();
            let mut expected = vec![7; bytes as usize];
            expected[bytes as usize - 1] = 9;
            assert_eq!(device.read(&buffer, 0..bytes).wait().unwrap(), expected);
        }
    }
}

#[test]
fn ranges_outside_a_buffer_are_refused() {
    for device in devices(&options()) {
        let buffer = alloc(&device, 10);
        for (offset, len) in [(0, 11), (10, 1), (11, 0), (u64::MAX, 1), (u64::MAX, 0)] {
            let e = device.write(&buffer, offset, &vec![0; len]).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::OutOfBounds, "{len} at {offset}: {e}");
        }
        #[allow(clippy::reversed_empty_ranges, reason = "that is the case under test")]
        for range in [0..11, 11..11, 5..4, u64::MAX - 1..u64::MAX] {
            let e = device.read(&buffer, range.clone()).wait().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::OutOfBounds, "{range:?}: {e}");
        }
        device.write(&buffer, 10, &[]).unwrap();
        assert!(device.read(&buffer, 10..10).wait().unwrap().is_empty());
    }
}

#[test]
fn empty_buffers_work() {
    for device in devices(&options()) {
        let buffer = alloc(&device, 0);
        assert_eq!(buffer.bytes(), 0);
        device.write(&buffer, 0, &[]).unwrap();
        assert!(device.read(&buffer, 0..0).wait().unwrap().is_empty());
    }
}

#[test]
fn a_large_write_arrives_whole() {
    for device in devices(&options()) {
        let n = (40 << 20) / 4 + 3;
        let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
        assert!(download(&device, &upload(&device, &values)) == values, "on {}", device.info().name);
    }
}

#[test]
fn memory_is_counted_and_recycled() {
    for device in devices(&options()) {
        let before = device.counters();
        let first = alloc(&device, 1 << 20);
        let second = alloc(&device, 1 << 20);
        let both = device.counters();
        assert!(both.bytes_now >= before.bytes_now + (2 << 20));
        drop(first);
        let one = device.counters();
        assert!(one.bytes_now <= both.bytes_now - (1 << 20));
        assert_eq!(one.bytes_peak, both.bytes_peak);
        let third = alloc(&device, (1 << 20) - 100);
        assert_eq!(device.counters().bytes_now, both.bytes_now, "the same block serves again");
        drop((second, third));
        assert_eq!(device.counters().bytes_now, before.bytes_now);
    }
}

#[test]
fn recycling_never_disturbs_a_buffer_in_use() {
    for device in devices(&options()) {
        let kept = upload(&device, &[1.0; 300]);
        for round in 0..20 {
            let passing = upload(&device, &[round as f32; 300]);
            assert_eq!(download(&device, &passing), [round as f32; 300]);
        }
        assert_eq!(download(&device, &kept), [1.0; 300]);
    }
}

#[test]
fn poison_fills_fresh_and_recycled_memory() {
    for device in devices(&WgpuOptions { poison: true, ..options() }) {
        let is_poisoned = |buffer: &Buffer| download(&device, buffer).into_iter().all(f32::is_nan);
        let fresh = alloc(&device, 100_000);
        assert!(is_poisoned(&fresh), "fresh memory on {}", device.info().name);
        device.write(&fresh, 0, &[0; 100_000]).unwrap();
        assert!(!is_poisoned(&fresh));
        drop(fresh);
        let recycled = alloc(&device, 100_000);
        assert!(is_poisoned(&recycled), "recycled memory on {}", device.info().name);
        assert_eq!(device.info().properties["poison"], "on");
    }
}

#[test]
fn too_much_memory_is_an_error_that_says_how_much() {
    for device in devices(&options()) {
        let max = device.info().max_buffer_bytes;
        let too_much = [Some(u64::MAX), max.checked_add(1)].into_iter().flatten();
        for bytes in too_much {
            let e = device.alloc(&BufferDesc { bytes, label: Some("weights".to_owned()) }).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
            let text = e.to_string();
            for part in [bytes.to_string(), max.to_string(), device.info().name.clone(), "weights".to_owned()] {
                assert!(text.contains(&part), "{part:?} is missing in {text:?}");
            }
        }
        let buffer = upload(&device, &[3.0]);
        assert_eq!(download(&device, &buffer), [3.0], "the device lives on");
    }
}

#[test]
fn a_buffer_of_another_device_is_refused() {
    for device in devices(&options()) {
        let other = unisono_wgpu::open(&device.info().id, &options()).unwrap();
        let buffer = alloc(&other, 16);
        assert_eq!(device.write(&buffer, 0, &[1; 4]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(device.read(&buffer, 0..4).wait().unwrap_err().kind(), ErrorKind::Invalid);
    }
}
