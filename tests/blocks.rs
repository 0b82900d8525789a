//! A weight in blocks that no single binding can hold: products, rows and experts use it in windows.
//! The windows begin at blocks of 18 bytes, so at any even byte. Results are exact because the data
//! are small integers.

use unisono::{DType, Device};

const K: usize = 4096;
const BLOCK: usize = 32;
const EXPERTS: usize = 8;

fn weight(n: usize, k: usize) -> i32 {
    ((n * 7 + k * 3) % 5) as i32 - 2
}

fn activation(k: usize) -> i32 {
    (k % 3) as i32 - 1
}

/// Row `n` of the weight in q4_0: each block has the scale 1 and 16 bytes of two elements.
fn packed(n: usize) -> Vec<u8> {
    let block = |first: usize| {
        let code = move |i: usize| (weight(n, first + i) + 8) as u8;
        [0x00, 0x3c].into_iter().chain((0..BLOCK / 2).map(move |i| code(i) | code(i + BLOCK / 2) << 4))
    };
    (0..K).step_by(BLOCK).flat_map(block).collect()
}

fn expected(n: usize) -> f32 {
    (0..K).map(|k| weight(n % 5, k) * activation(k)).sum::<i32>() as f32
}

/// Rows that exceed the device's limit by a few, the same number for each expert.
fn rows_over_the_limit(device: &Device) -> Option<usize> {
    let limits = &device.info().limits;
    let limit = *limits.get("max-storage-buffer-binding-size").expect("every adapter states its binding limit");
    let row = K / BLOCK * 18;
    let rows = (usize::try_from(limit).ok()? / row + 37).next_multiple_of(EXPERTS);
    // A limit of gigabytes needs no windows and would take the memory of the machine.
    (limit <= 1 << 30 && (rows * row) as u64 <= device.info().max_buffer_bytes).then_some(rows)
}

fn check(device: &Device, rows: usize) {
    let name = &device.info().name;
    // The weight repeats after five rows.
    let bytes = (0..5).map(packed).collect::<Vec<_>>().concat().repeat(rows.div_ceil(5));
    let table = device.tensor_from_bytes(DType::Q4_0, &bytes[..rows * (K / BLOCK * 18)], &[rows, K]).unwrap();
    let x: Vec<f32> = (0..K).map(|k| activation(k) as f32).collect();
    let x = device.tensor(&x, &[1, K]).unwrap();
    let sums: Vec<f32> = (0..5).map(expected).collect();

    let product = x.matmul_t(&table).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(product.len(), rows);
    let wrong = product.iter().enumerate().find(|&(n, y)| *y != sums[n % 5]);
    assert_eq!(wrong, None, "{name}: matmul with {rows} columns");

    let ids = [0, 1, rows as u32 / 2, rows as u32 - 1, rows as u32, u32::MAX];
    let indices = device.tensor(&ids, &[ids.len()]).unwrap();
    let gathered = table.gather_rows(&indices).unwrap().to_vec::<f32>().unwrap();
    for (i, &id) in ids.iter().enumerate() {
        for k in 0..K {
            let value = if (id as usize) < rows { weight(id as usize % 5, k) } else { 0 };
            assert_eq!(gathered[i * K + k], value as f32, "{name}: gather_rows: row {id}, column {k}");
        }
    }

    let n = rows / EXPERTS;
    let experts = table.reshape(&[EXPERTS, n, K]).unwrap();
    let ids = [0, EXPERTS as u32 - 1, EXPERTS as u32 / 2, EXPERTS as u32];
    let indices = device.tensor(&ids, &[1, ids.len()]).unwrap();
    let chosen = x.matmul_id_t(&experts, &indices).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(chosen.len(), ids.len() * n);
    for (i, y) in chosen.into_iter().enumerate() {
        let (expert, column) = (ids[i / n] as usize, i % n);
        let value = if expert < EXPERTS { sums[(expert * n + column) % 5] } else { 0.0 };
        assert_eq!(y, value, "{name}: matmul_id: expert {expert}, column {column}");
    }
}

#[test]
fn a_weight_in_blocks_over_the_binding_limit_is_used_in_windows() {
    let devices = unisono::devices();
    let adapters: Vec<_> = devices.iter().filter(|d| d.api != "cpu").collect();
    let allowed = std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1");
    assert!(!adapters.is_empty() || allowed, "no adapter; set UNISONO_ALLOW_NO_ADAPTER=1 to do without");
    for summary in adapters {
        let device = summary.open().unwrap();
        match rows_over_the_limit(&device) {
            Some(rows) => check(&device, rows),
            None => println!("{}: its binding limit is not reached by a test", device.info().name),
        }
    }
}
