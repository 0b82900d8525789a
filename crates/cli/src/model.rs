//! The embedded model on one device, as a result that passes from a worker to the check that
//! started it.

use serde::{Deserialize, Serialize};
use unisono::Device;
use unisono_conformance::report::{ModelResult, Number};
use unisono_models::{tiny_llama, verify};

use crate::isolate;

/// What the model did, or why it could not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) prompts: Vec<Prompt>,
    /// Largest error of a logit divided by its bound.
    pub(crate) ratio: Number,
    pub(crate) tokens_per_second: f64,
    /// Why it did not run.
    pub(crate) error: Option<String>,
    /// Whether that says nothing about the device, because a limit of time was reached.
    #[serde(default)]
    pub(crate) unfinished: bool,
}

/// One golden prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) prompt: String,
    pub(crate) text: String,
    pub(crate) tokens: usize,
    pub(crate) tokens_equal: usize,
    pub(crate) ratio: Number,
    pub(crate) passed: bool,
}

/// Runs the embedded model and compares it with its goldens.
pub(crate) fn run(device: &Device) -> Run {
    let verification = match verify(device) {
        Ok(verification) => verification,
        Err(e) => return Run::failed(&e.into()),
    };
    let prompt = |p: &unisono_models::PromptResult| Prompt {
        prompt: p.prompt.clone(),
        text: p.text.clone(),
        tokens: p.tokens,
        tokens_equal: p.tokens_equal,
        ratio: Number(p.max_err_over_bound),
        passed: p.passed(),
    };
    Run {
        prompts: verification.prompts.iter().map(prompt).collect(),
        ratio: Number(verification.max_err_over_bound),
        tokens_per_second: verification.decode_tokens_per_second,
        error: None,
        unfinished: false,
    }
}

impl Run {
    /// A model that did not run.
    pub(crate) fn failed(error: &anyhow::Error) -> Run {
        Run {
            prompts: Vec::new(),
            ratio: Number(f64::NAN),
            tokens_per_second: 0.0,
            error: Some(format!("{error:#}")),
            unfinished: isolate::is_inconclusive(error),
        }
    }

    pub(crate) fn passed(&self) -> bool {
        self.error.is_none() && !self.prompts.is_empty() && self.prompts.iter().all(|p| p.passed)
    }

    /// As it stands in a report.
    pub(crate) fn result(&self) -> ModelResult {
        let ran = self.error.is_none();
        ModelResult {
            model: tiny_llama().name().to_owned(),
            prompts: self.prompts.len(),
            tokens_match: self.passed(),
            max_logit_ratio: ran.then_some(self.ratio),
            tokens_per_second: ran.then_some(self.tokens_per_second),
            unfinished: self.error.clone().filter(|_| self.unfinished),
        }
    }
}
