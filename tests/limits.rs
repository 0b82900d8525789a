//! Sizes at the edges: weights that no single binding can hold are used in windows, a vocabulary
//! as large as today's models have, and tensors whose far end is beyond 31 bits of bytes (32 bits on
//! the CPU). Results are exact because the data are small integers.

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

/// Runs `check` on every adapter of the machine; none at all must be allowed.
fn on_every_adapter(check: impl Fn(&Device)) {
    let devices = unisono::devices();
    let adapters: Vec<_> = devices.iter().filter(|d| d.api != "cpu").collect();
    let allowed = std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1");
    assert!(!adapters.is_empty() || allowed, "no adapter; set UNISONO_ALLOW_NO_ADAPTER=1 to do without");
    adapters.iter().for_each(|summary| check(&summary.open().unwrap()));
}

#[test]
fn weights_over_the_binding_limit_are_used_in_windows() {
    on_every_adapter(|device| match rows_over_the_limit(device) {
        Some(rows) => check(device, rows),
        None => println!("{}: its binding limit is not reached by a test", device.info().name),
    });
}

#[test]
fn a_vocabulary_of_128_256_has_its_logits_and_its_best_token() {
    const VOCABULARY: usize = 128_256;
    const WIDTH: usize = 64;
    let check = |device: &Device| {
        let data: Vec<f16> =
            (0..VOCABULARY * WIDTH).map(|i| f16::from_f32(weight(i / WIDTH, i % WIDTH) as f32)).collect();
        let table = device.tensor(&data, &[VOCABULARY, WIDTH]).unwrap();
        // The embedding of the last token but two, as a hidden state: its own logit is its square.
        let ids = device.tensor(&[VOCABULARY as u32 - 3], &[1]).unwrap();
        let hidden = table.gather_rows_as(&ids, DType::F32).unwrap();
        let logits = hidden.matmul_t(&table).unwrap();
        let expected: Vec<f32> =
            (0..5).map(|n| (0..WIDTH).map(|k| weight(n, k) * weight(VOCABULARY - 3, k)).sum::<i32>() as f32).collect();
        let seen = logits.to_vec::<f32>().unwrap();
        assert_eq!(seen.len(), VOCABULARY);
        // The table repeats after five rows.
        assert!(seen.iter().enumerate().all(|(n, &x)| x == expected[n % 5]), "{}", device.info().name);
        let best = (0..5).max_by(|&a, &b| expected[a].total_cmp(&expected[b]).then(b.cmp(&a))).unwrap();
        assert_eq!(logits.argmax(1).unwrap().to_vec::<u32>().unwrap(), [best as u32], "{}", device.info().name);
    };
    check(&unisono::open("cpu").unwrap());
    on_every_adapter(check);
}

/// Rows of bytes that fill a buffer as large as the device allows, or 4 GiB and some on the CPU.
fn far_rows(device: &Device) -> usize {
    let most = if device.info().kind == unisono::DeviceKind::Cpu { (1 << 32) + (1 << 20) } else { (1 << 31) - 8192 };
    usize::try_from(most.min(device.info().max_buffer_bytes)).unwrap() / WIDE
}

const WIDE: usize = 1024;

fn check_far_end(device: &Device) {
    let name = &device.info().name;
    let rows = far_rows(device);
    let table = device.empty(DType::U8, &[rows, WIDE]).unwrap();
    let row = |seed: usize| (0..WIDE).map(|i| ((i * 7 + seed * 13) % 251) as u8).collect::<Vec<_>>();
    let places = [0, rows / 2 - 1, rows / 2, rows - 2, rows - 1];
    for (seed, &place) in places.iter().enumerate() {
        table.slice(0, place..place + 1).unwrap().write(&row(seed)).unwrap();
    }
    // The index after the last row reads zeros.
    let ids: Vec<u32> = places.iter().map(|&p| p as u32).chain([rows as u32]).collect();
    let ids = device.tensor(&ids, &[places.len() + 1]).unwrap();
    let gathered = table.gather_rows(&ids).unwrap().to_vec::<u8>().unwrap();
    for (seed, seen) in gathered.chunks(WIDE).enumerate() {
        let expected = if seed < places.len() { row(seed) } else { vec![0; WIDE] };
        assert!(*seen == expected, "{name}: gathered row {seed} of {rows}");
    }
    let new = device.tensor(&row(77), &[1, WIDE]).unwrap();
    table.scatter_rows_(&device.tensor(&[rows as u32 - 2], &[1]).unwrap(), &new).unwrap();
    // An odd offset and a stride over the last rows.
    let corner = table.slice(0, rows - 2..rows).unwrap().slice(1, 3..WIDE).unwrap().transpose(0, 1).unwrap();
    let corner = corner.copy().unwrap().to_vec::<u8>().unwrap();
    let (first, second) = (row(77), row(4));
    let expected: Vec<u8> = (3..WIDE).flat_map(|i| [first[i], second[i]]).collect();
    assert!(corner == expected, "{name}: the last two rows of {rows}");
}

#[test]
fn the_far_end_of_a_tensor_of_gigabytes_is_addressed() {
    check_far_end(&unisono::open("cpu").unwrap());
    on_every_adapter(check_far_end);
}
