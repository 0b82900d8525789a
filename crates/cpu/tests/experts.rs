//! A mixture of experts from end to end: routing by top-k, products by id, weighted sum.

use unisono_core::{DType, Device, Tensor};
use unisono_cpu::CpuBackend;

const TOKENS: usize = 5;
const EXPERTS: usize = 4;
const K: usize = 64;
const N: usize = 9;

fn numbers(seed: usize, n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn tokens_get_the_mixture_of_their_two_best_experts() {
    let device = Device::new(CpuBackend::new().unwrap());
    let x = device.tensor(&numbers(1, TOKENS * K), &[TOKENS, K]).unwrap();
    let router = device.tensor(&numbers(5, EXPERTS * K), &[EXPERTS, K]).unwrap();
    let weights = device.tensor(&numbers(9, EXPERTS * N * K), &[EXPERTS, N, K]).unwrap();
    for dtype in [DType::F32, DType::F16, DType::Q8_0, DType::Q4_1, DType::Mxfp4] {
        let stored = weights.cast(dtype).unwrap();
        // What the product sees is the weight as stored.
        let seen = stored.cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
        let (scores, ids) = x.matmul_t(&router).unwrap().topk(2).unwrap();
        let shares = scores.softmax(1.0, None, None).unwrap().unsqueeze(2).unwrap();
        let products: Tensor = x.matmul_id_t(&stored, &ids).unwrap();
        let y = products.mul(&shares).unwrap().sum(1).unwrap().squeeze(1).unwrap().to_vec::<f32>().unwrap();

        let (x, router) = (numbers(1, TOKENS * K), numbers(5, EXPERTS * K));
        for (t, x) in x.chunks(K).enumerate() {
            let mut best: Vec<(f64, usize)> = router.chunks(K).map(|r| dot(x, r)).zip(0..).collect();
            best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let share = 1.0 / (1.0 + (best[1].0 - best[0].0).exp());
            for n in 0..N {
                let product = |e: usize| dot(x, &seen[(best[e].1 * N + n) * K..][..K]);
                let expected = share * product(0) + (1.0 - share) * product(1);
                let error = (f64::from(y[t * N + n]) - expected).abs();
                assert!(error < 1e-4, "{dtype}: token {t}, column {n} is off by {error}");
            }
        }
    }
}
