//! What a device does with numbers, where the contract leaves it a choice.
//!
//! A bound admits many devices: those that flush subnormal numbers and those that keep them, any
//! direction of rounding, any order of a sum. Which of them a device is decides whether two of them
//! agree to the bit, and a driver that changes is seen here before anything fails. Each line of a
//! [`Fingerprint`] is the answer to one question, found by a small program whose result differs
//! between the possible answers; nothing is asked of the driver and nothing is assumed from a name.
//! `docs/fingerprint.md` explains the lines.

mod arithmetic;
mod functions;
mod order;
mod probe;
mod rounding;
mod special;
mod subnormals;
mod sums;

use serde::{Deserialize, Serialize};
use unisono_core::{Backend, Result};

use crate::hash::Fnv;
use probe::Probe;

/// The version of the questions: answers of different versions do not compare.
pub const FINGERPRINT_VERSION: u32 = 1;

/// The answers of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// See [`FINGERPRINT_VERSION`].
    pub version: u32,
    /// FNV-1a over groups, names and answers: equal for devices that answer alike.
    pub hash: String,
    /// One per question, in a fixed order.
    pub traits: Vec<Trait>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trait {
    /// What it is about: `subnormals`, `rounding`, `contraction`, `sums`, `functions`, `special`.
    pub group: String,
    /// The question.
    pub name: String,
    /// The answer, one of a few words or a measured number; `unsupported` where the device declines
    /// the operation.
    pub answer: String,
    /// What the answer rests on: counts, or the argument of the largest error.
    #[serde(default)]
    pub detail: String,
}

impl Trait {
    fn new(group: &str, name: impl Into<String>, answer: impl Into<String>, detail: impl Into<String>) -> Trait {
        Trait { group: group.to_owned(), name: name.into(), answer: answer.into(), detail: detail.into() }
    }

    fn unsupported(group: &str, name: impl Into<String>) -> Trait {
        Trait::new(group, name, "unsupported", "")
    }
}

impl Fingerprint {
    pub(crate) fn of(traits: Vec<Trait>) -> Fingerprint {
        let mut hash = Fnv::new();
        for t in &traits {
            for part in [&t.group, &t.name, &t.answer] {
                hash.update(part.as_bytes());
                hash.update(b"\n");
            }
        }
        Fingerprint { version: FINGERPRINT_VERSION, hash: hash.hex(), traits }
    }

    /// The answer to a question of a group.
    pub fn answer(&self, group: &str, name: &str) -> Option<&str> {
        self.traits.iter().find(|t| t.group == group && t.name == name).map(|t| t.answer.as_str())
    }

    /// The questions (`group: name`) that the two answer differently, or that only one was asked.
    /// The evidence counts as well: an answer for other reasons is another answer.
    pub fn differences(&self, other: &Fingerprint) -> Vec<String> {
        let differs = |a: &Fingerprint, t: &Trait| !a.traits.contains(t);
        let mut names: Vec<String> = Vec::new();
        for (here, there) in [(self, other), (other, self)] {
            for t in here.traits.iter().filter(|t| differs(there, t)) {
                let name = format!("{}: {}", t.group, t.name);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// Asks `backend` every question, blocking. Fails where the backend does; an operation that it
/// declines is an answer.
#[cfg(not(target_family = "wasm"))]
pub fn fingerprint(backend: &dyn Backend) -> Result<Fingerprint> {
    pollster::block_on(fingerprint_async(backend))
}

/// Asks `backend` every question; see [`fingerprint`].
pub async fn fingerprint_async(backend: &dyn Backend) -> Result<Fingerprint> {
    let probe = Probe::new(backend);
    let mut traits = Vec::new();
    subnormals::ask(&probe, &mut traits).await?;
    arithmetic::ask(&probe, &mut traits).await?;
    sums::ask(&probe, &mut traits).await?;
    functions::ask(&probe, &mut traits).await?;
    special::ask(&probe, &mut traits).await?;
    Ok(Fingerprint::of(traits))
}
