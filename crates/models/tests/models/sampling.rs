//! Sampling: what each filter keeps, by its definition, and that draws follow the probabilities.

use unisono_models::{SampleOptions, Sampler};

fn options() -> SampleOptions {
    SampleOptions { temperature: 1.0, ..SampleOptions::default() }
}

/// Counts of `draws` tokens.
fn counts(options: &SampleOptions, logits: &[f32], before: &[u32], draws: usize) -> Vec<usize> {
    let mut sampler = Sampler::new(options).unwrap();
    let mut counts = vec![0; logits.len()];
    for _ in 0..draws {
        counts[sampler.sample(logits, before).unwrap() as usize] += 1;
    }
    counts
}

/// Which tokens are ever drawn.
fn kept(options: &SampleOptions, logits: &[f32]) -> Vec<usize> {
    let counts = counts(options, logits, &[], 20_000);
    (0..logits.len()).filter(|&i| counts[i] > 0).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits.iter().map(|z| (z - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// Pearson's chi-square of counts against probabilities.
fn chi_square(counts: &[usize], probabilities: &[f64]) -> f64 {
    let draws: usize = counts.iter().sum();
    let term = |(&n, p): (&usize, &f64)| (n as f64 - p * draws as f64).powi(2) / (p * draws as f64);
    counts.iter().zip(probabilities).filter(|(_, p)| **p > 0.0).map(term).sum()
}

#[test]
fn draws_follow_the_probabilities() {
    let logits: Vec<f32> = (0..16).map(|i| ((i * 7) % 16) as f32 * 0.3 - 1.0).collect();
    for temperature in [0.5, 1.0, 2.5] {
        let exact = softmax(&logits.iter().map(|&z| f64::from(z) / f64::from(temperature)).collect::<Vec<_>>());
        for seed in 0..4 {
            let options = SampleOptions { temperature, seed, ..options() };
            let found = chi_square(&counts(&options, &logits, &[], 100_000), &exact);
            // 15 degrees of freedom: above 37.7 with probability 0.001, 44.3 with 0.0001.
            assert!(found < 44.3, "temperature {temperature}, seed {seed}: {found}");
        }
    }
    // The check sees a wrong temperature.
    let wrong = softmax(&logits.iter().map(|&z| f64::from(z) / 1.05).collect::<Vec<_>>());
    assert!(chi_square(&counts(&options(), &logits, &[], 100_000), &wrong) > 44.3);
}

#[test]
fn each_filter_keeps_what_its_definition_says() {
    // Probabilities 0.4, 0.3, 0.2, 0.1 at tokens 2, 0, 3, 1.
    let logits = [0.3f32.ln(), 0.1f32.ln(), 0.4f32.ln(), 0.2f32.ln()];
    assert_eq!(kept(&options(), &logits), [0, 1, 2, 3]);
    assert_eq!(kept(&SampleOptions { top_k: 1, ..options() }, &logits), [2]);
    assert_eq!(kept(&SampleOptions { top_k: 3, ..options() }, &logits), [0, 2, 3]);
    assert_eq!(kept(&SampleOptions { top_k: 9, ..options() }, &logits), [0, 1, 2, 3]);
    for (top_p, expected) in [(0.01, &[2][..]), (0.39, &[2]), (0.41, &[0, 2]), (0.69, &[0, 2]), (0.71, &[0, 2, 3])] {
        assert_eq!(kept(&SampleOptions { top_p, ..options() }, &logits), expected, "top_p {top_p}");
    }
    for (min_p, expected) in [(0.24, &[0, 1, 2, 3][..]), (0.26, &[0, 2, 3]), (0.51, &[0, 2]), (0.76, &[2]), (1.0, &[2])]
    {
        assert_eq!(kept(&SampleOptions { min_p, ..options() }, &logits), expected, "min_p {min_p}");
    }
    // Top-p counts what top-k left: 0.4, 0.3 and 0.2 of 0.9, so 0.44 and 0.33 reach 0.75.
    assert_eq!(kept(&SampleOptions { top_k: 3, top_p: 0.75, ..options() }, &logits), [0, 2]);
    // The temperature comes before: at 4 the shares are closer, and top-p needs one more.
    assert_eq!(kept(&SampleOptions { temperature: 4.0, top_p: 0.69, ..options() }, &logits), [0, 2, 3]);
}

#[test]
fn what_is_left_keeps_its_proportions() {
    let logits: Vec<f32> = [0.3f32, 0.1, 0.4, 0.2].map(f32::ln).to_vec();
    let found = counts(&SampleOptions { top_k: 3, ..options() }, &logits, &[], 100_000);
    // 2 degrees of freedom: above 18.4 with probability 0.0001.
    assert!(chi_square(&found, &[0.3 / 0.9, 0.0, 0.4 / 0.9, 0.2 / 0.9]) < 18.4, "{found:?}");
}

#[test]
fn ties_go_to_the_lower_number() {
    let logits = [1.0, 5.0, 5.0, 5.0, 0.0];
    let greedy = SampleOptions::default();
    assert_eq!(Sampler::new(&greedy).unwrap().sample(&logits, &[]).unwrap(), 1);
    assert_eq!(kept(&SampleOptions { top_k: 2, ..options() }, &logits), [1, 2]);
    assert_eq!(kept(&SampleOptions { top_p: 0.4, ..options() }, &logits), [1, 2]);
    assert_eq!(kept(&SampleOptions { min_p: 1.0, ..options() }, &logits), [1, 2, 3]);
}

#[test]
fn a_repetition_penalty_lowers_what_was_there() {
    let greedy = |penalty, window, before: &[u32]| {
        let options =
            SampleOptions { repetition_penalty: penalty, repetition_window: window, ..SampleOptions::default() };
        Sampler::new(&options).unwrap().sample(&[2.0, 1.5, -0.5, -1.0], before).unwrap()
    };
    assert_eq!(greedy(1.0, 0, &[0, 1]), 0);
    assert_eq!(greedy(1.3, 0, &[0]), 0, "2 / 1.3 is above 1.5");
    assert_eq!(greedy(1.4, 0, &[0, 0, 0]), 1, "2 / 1.4 is below, and counts once");
    assert_eq!(greedy(1.4, 2, &[0, 1, 1]), 0, "outside the window");
    assert_eq!(greedy(1.4, 2, &[9, 0, 99]), 1, "tokens outside the vocabulary are ignored");
    // Negative logits are multiplied: all but the last were there.
    let options = SampleOptions { repetition_penalty: 3.0, ..SampleOptions::default() };
    assert_eq!(Sampler::new(&options).unwrap().sample(&[-0.5, -0.6, -1.0], &[0, 1]).unwrap(), 2);
}

#[test]
fn the_same_seed_draws_the_same_tokens() {
    let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 * 0.05).collect();
    let draw = |seed| {
        let mut sampler = Sampler::new(&SampleOptions { seed, top_p: 0.9, ..options() }).unwrap();
        (0..12).map(|_| sampler.sample(&logits, &[]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    // From the definitions, in Python: another platform or version must draw these, too.
    assert_eq!(draw(7), SEVEN);
}

/// What seed 7 draws above.
const SEVEN: [u32; 12] = [433, 813, 709, 704, 221, 349, 998, 379, 755, 971, 84, 843];

#[test]
fn logits_that_are_not_numbers_and_odd_options_are_errors() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Sampler::new(&options()).unwrap().sample(&[0.0, bad, 1.0], &[]).unwrap_err();
        assert!(error.to_string().contains("token 1"), "{error}");
    }
    assert!(Sampler::new(&options()).unwrap().sample(&[], &[]).is_err());
    // The largest and smallest numbers are numbers.
    assert_eq!(Sampler::new(&options()).unwrap().sample(&[f32::MAX, f32::MIN], &[]).unwrap(), 0);
    let refused = |options: SampleOptions, name: &str| {
        let error = Sampler::new(&options).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    };
    refused(SampleOptions { temperature: -1.0, ..options() }, "temperature");
    refused(SampleOptions { temperature: f32::NAN, ..options() }, "temperature");
    refused(SampleOptions { top_p: 0.0, ..options() }, "top_p");
    refused(SampleOptions { top_p: 1.1, ..options() }, "top_p");
    refused(SampleOptions { min_p: f32::NAN, ..options() }, "min_p");
    refused(SampleOptions { repetition_penalty: 0.0, ..options() }, "repetition_penalty");
}
