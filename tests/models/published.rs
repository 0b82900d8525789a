//! A published model on a device against its goldens, and changed files that have to be told from it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use libtest_mimic::Failed;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use unisono_models::{GenerateOptions, Message, Model, ModelOptions, SampleOptions, Session, Source};

use crate::models::golden::{Arrays, folder};
use crate::models::weights::hexadecimal;

/// Folders of `tests/models/published`.
pub(crate) const MODELS: [&str; 2] = ["smollm2-135m", "gemma3-270m"];

/// Largest error allowed, in standard deviations of the logits of a position. `docs/models.md` says
/// why it is this.
const LIMIT: f64 = 1e-4;

/// Tokens of the longest prompt that devices other than the CPU are given.
const SHORT: usize = 100;

/// `goldens.json` of a model.
#[derive(Deserialize)]
pub(crate) struct Goldens {
    /// Its folder.
    #[serde(skip)]
    name: String,
    /// The packages that carry it, with their versions.
    pub(crate) packages: Vec<String>,
    /// Their files which, one after the other, are the model.
    pub(crate) parts: Vec<String>,
    /// What the model is called.
    pub(crate) file: String,
    sha256: String,
    pub(crate) chat: Chat,
    texts: Vec<Text>,
    /// Texts to cut into tokens, beside those of the tests of vocabularies.
    pub(crate) more: Vec<String>,
    pub(crate) tokens: Vec<Tokens>,
}

/// A conversation, its text and its tokens.
#[derive(Deserialize)]
pub(crate) struct Chat {
    /// The template, where the file has none.
    pub(crate) template: Option<String>,
    pub(crate) messages: Vec<Message>,
    pub(crate) text: String,
    pub(crate) tokens: Vec<u32>,
}

/// The tokens of a text that spells no special ones, and of one that may.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) plain: Vec<u32>,
    pub(crate) special: Vec<u32>,
}

/// A prompt, its greedy continuation and logits.
#[derive(Deserialize)]
struct Text {
    prompt: String,
    prompt_tokens: usize,
    tokens: Vec<u32>,
    /// The smallest distance of the two best logits over the continuation, in standard deviations.
    min_top2_gap: f64,
    /// Of the row of position `p`, the logits `p % stride`, `p % stride + stride`, … are stored.
    stride: usize,
    positions: Vec<usize>,
    /// Mean and standard deviation of all logits of each position.
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Goldens {
    /// Those of a model of [`MODELS`].
    pub(crate) fn open(name: &str) -> Goldens {
        let path = folder().join("published").join(name).join("goldens.json");
        let read = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Goldens { name: name.into(), ..serde_json::from_slice(&read).expect("goldens.json") }
    }

    /// Fails where a file is another one.
    pub(crate) fn check_file(&self, path: &Path) -> Result<(), Failed> {
        let file = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if hexadecimal(&Sha256::digest(&file)) == self.sha256 {
            return Ok(());
        }
        Err(format!("{}: another file than that of {}", path.display(), self.packages.join(", ")).into())
    }

    fn rows(&self) -> Result<Rows, Failed> {
        let file = std::fs::read(folder().join("published").join(&self.name).join("goldens.safetensors"))?;
        let arrays = Arrays::new(file);
        let places = self.texts.iter().enumerate().flat_map(|(i, text)| text.positions.iter().map(move |&p| (i, p)));
        Ok(Rows(places.map(|(i, p)| ((i, p), arrays.get(&format!("{i}.{p}")))).collect()))
    }
}

/// The stored logits by text and position.
struct Rows(BTreeMap<(usize, usize), Vec<f32>>);

/// How far a device is from the goldens.
#[derive(Default)]
struct Outcome {
    /// The largest error over the standard deviation, what it is of, and where.
    worst: (f64, String),
    /// Logits compared.
    compared: usize,
}

impl Outcome {
    fn add(&mut self, error: f64, what: impl FnOnce() -> String) {
        // What is not a number is far off.
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error > self.worst.0 {
            self.worst = (error, what());
        }
    }

    /// Compares all logits after a position: some one by one, all by mean and deviation.
    fn compare(&mut self, text: &Text, i: usize, position: usize, golden: &Rows, row: &[f32]) -> Result<(), Failed> {
        let Some(at) = text.positions.iter().position(|&p| p == position) else { return Ok(()) };
        let (mean, std) = (text.mean[at], text.std[at]);
        let golden = &golden.0[&(i, position)];
        let seen: Vec<f32> = row.iter().copied().skip(position % text.stride).step_by(text.stride).collect();
        if seen.len() != golden.len() || seen.is_empty() {
            return Err(format!("{} logits stored, {} of {} expected", golden.len(), seen.len(), row.len()).into());
        }
        for (j, (&seen, &golden)) in seen.iter().zip(golden).enumerate() {
            let token = position % text.stride + j * text.stride;
            let error = (f64::from(seen) - f64::from(golden)).abs() / std;
            self.add(error, || format!("token {token} after position {position} of text {i}: {seen}, not {golden}"));
        }
        self.compared += seen.len();
        let count = row.len() as f64;
        let average = row.iter().map(|&z| f64::from(z)).sum::<f64>() / count;
        let spread = (row.iter().map(|&z| (f64::from(z) - average).powi(2)).sum::<f64>() / count).sqrt();
        self.add((average - mean).abs() / std, || {
            format!("the mean after position {position} of text {i}: {average}, not {mean}")
        });
        self.add((spread - std).abs() / std, || {
            format!("the deviation after position {position} of text {i}: {spread}, not {std}")
        });
        Ok(())
    }
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best }).unwrap_or(0)
}

/// The text with its continuation given: its prompt at once where it is short, in parts where it is long,
/// then token by token.
fn given(session: &mut Session, i: usize, text: &Text, rows: &Rows, outcome: &mut Outcome) -> Result<(), Failed> {
    session.reset();
    let (prompt, rest) = text.tokens.split_at(text.prompt_tokens);
    let mut next = if prompt.len() < 64 {
        let all = session.all_logits(prompt)?;
        let width = all.len() / prompt.len();
        all.chunks(width).enumerate().try_for_each(|(p, row)| outcome.compare(text, i, p, rows, row))?;
        all[all.len() - width..].to_vec()
    } else {
        let mut last = Vec::new();
        for &position in text.positions.iter().filter(|&&p| p < prompt.len()) {
            last = session.prefill(&prompt[session.len()..=position])?;
            outcome.compare(text, i, position, rows, &last)?;
        }
        last
    };
    for &token in rest {
        let best = argmax(&next);
        if best != token as usize {
            return Err(format!("text {i}: token {} is {best}, not {token}", session.len()).into());
        }
        next = session.decode(token)?;
        outcome.compare(text, i, session.len() - 1, rows, &next)?;
    }
    Ok(())
}

/// The text as its user would have it written: from the prompt, every choice by the device.
fn written(session: &mut Session, i: usize, text: &Text) -> Result<(), Failed> {
    session.reset();
    let rest = &text.tokens[text.prompt_tokens..];
    let sample = SampleOptions { temperature: 0.0, ..SampleOptions::default() };
    let options =
        GenerateOptions { max_new_tokens: rest.len(), stop_at_eos: false, sample, ..GenerateOptions::default() };
    let found = session.generate(&text.prompt, &options, &mut |_| ControlFlow::Continue(()))?;
    if (found.prompt_tokens, &found.tokens[..]) == (text.prompt_tokens, rest) {
        return Ok(());
    }
    Err(format!("text {i}: {:?} writes {:?}, not {rest:?}", text.prompt, found.tokens).into())
}

fn load(device: &str, source: &Source, goldens: &Goldens) -> Result<Model, Failed> {
    let context_len = goldens.texts.iter().map(|text| text.tokens.len()).max();
    let options = ModelOptions { context_len, ..ModelOptions::default() };
    Ok(Model::load(&unisono::open(device)?, source, &options)?)
}

/// Logits within the limit, and the greedy tokens.
pub(crate) fn agrees(path: &Path, goldens: &Goldens, device: &str) -> Result<(), Failed> {
    let started = Instant::now();
    let model = load(device, &Source::open(path)?, goldens)?;
    let (mut session, rows, mut outcome) = (model.session()?, goldens.rows()?, Outcome::default());
    let mut greedy = 0;
    for (i, text) in goldens.texts.iter().enumerate() {
        // The long one takes software adapters minutes.
        if device != "cpu" && text.prompt_tokens > SHORT {
            continue;
        }
        if text.min_top2_gap <= 2.0 * LIMIT {
            return Err(format!("text {i}: two tokens are as good as each other").into());
        }
        given(&mut session, i, text, &rows, &mut outcome)?;
        // Twice is enough to see that the device chooses alike.
        if i < 2 {
            written(&mut session, i, text)?;
        }
        greedy += text.tokens.len() - text.prompt_tokens;
    }
    println!(
        "{}: {}: largest error over the standard deviation {:.2e} of {} logits, {greedy} greedy tokens equal, {:.1} s",
        model.device().info().name,
        model.name(),
        outcome.worst.0,
        outcome.compared,
        started.elapsed().as_secs_f64()
    );
    if outcome.worst.0 <= LIMIT { Ok(()) } else { Err(format!("{}: {:?}", goldens.name, outcome.worst).into()) }
}

/// A small mistake in reading a file: a number of its metadata, or one block of its weights.
enum Fault {
    /// The number of this key, times a factor.
    Number(&'static str, f64),
    /// One block of a tensor without its weights: of the first tensor that has this in its name.
    Block(&'static str),
}

/// What reading a file wrongly looks like, and the text that shows it.
fn faults(name: &str) -> Vec<(Fault, usize)> {
    use Fault::{Block, Number};
    if name == "smollm2-135m" {
        return vec![
            (Number("llama.rope.freq_base", 1.001), 1),
            (Number("llama.attention.layer_norm_rms_epsilon", 1.1), 1),
            (Block("blk.15.ffn_down"), 1),
            (Block("token_embd"), 1),
        ];
    }
    vec![
        (Number("gemma3.rope.freq_base", 1.01), 1),
        (Number("gemma3.attention.layer_norm_rms_epsilon", 100.0), 1),
        // A window of 512 as one of 256.
        (Number("gemma3.attention.sliding_window", 0.5), 4),
        (Block("blk.9.attn_q"), 1),
        (Block("blk.9.attn_output"), 1),
        (Block("blk.9.ffn_down"), 1),
        (Block("blk.9.attn_v"), 1),
    ]
}

/// A file with a fault, and what that is.
fn changed(file: &[u8], source: &Source, fault: &Fault) -> Result<(Vec<u8>, String), Failed> {
    let mut file = file.to_vec();
    let what = match *fault {
        Fault::Number(key, factor) => {
            let at = file.windows(key.len()).position(|part| part == key.as_bytes()).ok_or(key)? + key.len();
            // The type of the value, 4 for u32 and 6 for f32, and the value.
            let number: [u8; 4] = file[at + 4..at + 8].try_into()?;
            let new = match file[at] {
                4 => ((f64::from(u32::from_le_bytes(number)) * factor).round() as u32).to_le_bytes(),
                6 => ((f64::from(f32::from_le_bytes(number)) * factor) as f32).to_le_bytes(),
                other => return Err(format!("{key} has type {other}").into()),
            };
            file[at + 4..at + 8].copy_from_slice(&new);
            format!("{key} times {factor}")
        }
        Fault::Block(part) => {
            let tensors = source.tensors()?;
            let (name, _, info) = tensors.iter().find(|(name, ..)| name.contains(part)).ok_or(part)?;
            let size = info.stored.dtype().ok_or(part)?.block_bytes();
            let middle = info.bytes.start + info.bytes.len() / size / 2 * size;
            file[middle..middle + size].fill(0);
            format!("a block of {} in {name} without weights", info.stored)
        }
    };
    Ok((file, what))
}

/// Each fault moves a logit beyond the limit, so a device that passes does not have it.
pub(crate) fn a_wrong_number_is_seen(path: &Path, goldens: &Goldens, device: &str) -> Result<(), Failed> {
    let source = Source::open(path)?;
    let rows = goldens.rows()?;
    let file = std::fs::read(path)?;
    for (fault, i) in faults(&goldens.name) {
        let (file, what) = changed(&file, &source, &fault)?;
        let changed = Source::from_gguf_bytes(goldens.name.clone(), vec![(goldens.file.clone(), file.into())])?;
        let mut outcome = Outcome::default();
        let model = load(device, &changed, goldens)?;
        // Other tokens are seen, too.
        if let Err(other) = given(&mut model.session()?, i, &goldens.texts[i], &rows, &mut outcome) {
            println!("{what}: {}", other.message().unwrap_or_default());
            continue;
        }
        println!("{what}: {:.1e} over {:.0e}, {}", outcome.worst.0, LIMIT, outcome.worst.1);
        if outcome.worst.0 <= LIMIT {
            return Err(format!("{what}: not seen ({:.1e})", outcome.worst.0).into());
        }
    }
    Ok(())
}
