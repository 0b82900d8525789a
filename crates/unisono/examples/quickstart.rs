//! Open a device, upload, compute, read back: the whole face in a page.
//!
//! `cargo run --example quickstart [DEVICE]`

use unisono::Result;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "auto".into());
    let device = unisono::open(&name)?;
    println!("device: {}", device.info().name);

    // Two tokens with a model size of four, and a weight stored as [out, in] like a checkpoint's.
    let x = device.tensor(&[1.0f32, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 2.0], &[2, 4])?;
    let gain = device.tensor(&[1.0f32; 4], &[4])?;
    let weight: Vec<f32> = (0..12).map(|i| (i % 5) as f32 - 2.0).collect();
    let weight = device.tensor(&weight, &[3, 4])?;

    // Nothing runs until a result is read: the three operations become one submission.
    let logits = x.rms_norm(&gain, 1e-5)?.matmul_t(&weight)?;
    let probabilities = logits.softmax(1.0, None, None)?;
    for row in probabilities.to_vec::<f32>()?.chunks(3) {
        println!("{row:?}");
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    // A mistake is an error that names the operation, the shapes and the device.
    let error = x.matmul(&weight).unwrap_err();
    println!("an error reads: {error}");
    Ok(())
}
