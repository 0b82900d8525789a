//! Tensors over a device's binding limit: a weight that no single binding can hold is used in
//! windows, with results that are exact because the data are small integers.

use half::f16;
use unisono::{DType, Device};

const K: usize = 4096;

fn weight(n: usize, k: usize) -> i32 {
    ((n * 7 + k * 3) % 5) as i32 - 2
}

fn activation(k: usize) -> i32 {
    (k % 3) as i32 - 1
}

/// Rows of f16 that exceed the device's limit by a few.
fn rows_over_the_limit(device: &Device) -> Option<usize> {
    let limits = &device.info().limits;
    let limit = *limits.get("max-storage-buffer-binding-size").expect("every adapter states its binding limit");
    let rows = usize::try_from(limit).ok()? / (2 * K) + 37;
    // A limit of gigabytes needs no windows and would take the memory of the machine.
    (limit <= 1 << 30 && (rows * K * 2) as u64 <= device.info().max_buffer_bytes).then_some(rows)
}

fn check(device: &Device, rows: usize) {
    let data: Vec<f16> = (0..rows * K).map(|i| f16::from_f32(weight(i / K, i % K) as f32)).collect();
    let table = device.tensor(&data, &[rows, K]).unwrap();
    let x: Vec<f32> = (0..K).map(|k| activation(k) as f32).collect();
    let x = device.tensor(&x, &[1, K]).unwrap();

    let product = x.matmul_t(&table).unwrap().to_vec::<f32>().unwrap();
    for (n, &y) in product.iter().enumerate() {
        // The weight repeats after five rows.
        let expected: i32 = (0..K).map(|k| weight(n % 5, k) * activation(k)).sum();
        assert_eq!(y, expected as f32, "matmul: column {n} of {rows}");
    }

    let ids = [0, 1, rows as u32 / 2, rows as u32 - 1, rows as u32, u32::MAX];
    let indices = device.tensor(&ids, &[ids.len()]).unwrap();
    let gathered = table.gather_rows_as(&indices, DType::F32).unwrap().to_vec::<f32>().unwrap();
    for (i, &id) in ids.iter().enumerate() {
        for k in 0..K {
            let expected = if (id as usize) < rows { weight(id as usize, k) } else { 0 };
            assert_eq!(gathered[i * K + k], expected as f32, "gather_rows: row {id}, column {k}");
        }
    }

    let doubled = table.add(&table).unwrap();
    let last = doubled.slice(0, rows - 1..rows).unwrap().cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
    for (k, &y) in last.iter().enumerate() {
        assert_eq!(y, 2.0 * weight(rows - 1, k) as f32, "add: last row, column {k}");
    }
}

#[test]
fn weights_over_the_binding_limit_are_used_in_windows() {
    let mut checked = 0;
    let devices = unisono::devices();
    for summary in devices.iter().filter(|d| d.api != "cpu") {
        let device = summary.open().unwrap();
        match rows_over_the_limit(&device) {
            Some(rows) => {
                check(&device, rows);
                checked += 1;
            }
            None => println!("{}: its binding limit is not reached by a test", summary.name),
        }
    }
    let adapters = devices.iter().filter(|d| d.api != "cpu").count();
    let allowed = std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1");
    assert!(adapters > 0 || allowed, "no adapter; set UNISONO_ALLOW_NO_ADAPTER=1 to do without");
    println!("{checked} of {adapters} adapters checked");
}
