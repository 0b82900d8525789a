//! What a planted fault is: data, so that a list of faults can be read, extended and counted.

use std::collections::BTreeMap;
use std::fmt;

use unisono_conformance::glob_matches;
use unisono_wgpu::ReplacedShaders;

use crate::host::HostFault;

/// One mistake in the kernels of one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Unique, in words joined by dots and dashes.
    pub name: String,
    /// The kind of mistake.
    pub class: String,
    /// What is wrong, in a sentence.
    pub about: String,
    /// Prefixes or globs of the cases that have to see it, tried in this order.
    pub cases: Vec<String>,
    /// Glob of the kernels that have it; none stands for all that the cases run on.
    pub kernel: Option<String>,
    /// Words that the reason of the failure contains: a fault that is caught for another reason is
    /// caught by luck.
    pub reason: String,
    /// Where it is.
    pub place: Place,
    /// The file that it came from, where it is not of this crate.
    pub file: Option<String>,
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In the text of shaders.
    Shader(Vec<Edit>),
    /// In the CPU backend.
    Host(HostFault),
}

/// A change of assembled shader texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Glob of the names of variants. Each one that matches is changed.
    pub variants: String,
    /// Text to find.
    pub find: String,
    /// Text in its place.
    pub replace: String,
    /// How often it stands in each variant.
    pub count: usize,
}

/// What is wrong with the description of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError(pub String);

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FaultError {}

impl Fault {
    /// Whether it is a fault of shaders, else one of the CPU backend.
    pub fn is_shader(&self) -> bool {
        matches!(self.place, Place::Shader(_))
    }

    /// Where it is, in words.
    pub fn place_name(&self) -> String {
        match &self.place {
            Place::Host(_) => "cpu".to_owned(),
            Place::Shader(edits) => {
                let mut names: Vec<&str> = edits.iter().map(|e| e.variants.as_str()).collect();
                names.dedup();
                format!("wgsl {}", names.join(", "))
            }
        }
    }

    /// The shader texts with this fault; an error that names the edit which does not apply.
    pub fn shaders(&self) -> Result<ReplacedShaders, FaultError> {
        let edits = match &self.place {
            Place::Shader(edits) => edits.as_slice(),
            Place::Host(_) => &[],
        };
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for edit in edits {
            let mut variants =
                unisono_shaders::VARIANTS.iter().filter(|v| glob_matches(&edit.variants, v.name)).peekable();
            if variants.peek().is_none() {
                return Err(self.wrong(&format!("no shader is named '{}'", edit.variants)));
            }
            for variant in variants {
                let text = texts.entry(variant.name.to_owned()).or_insert_with(|| variant.wgsl.to_owned());
                let found = if edit.find.is_empty() { 0 } else { text.matches(&edit.find).count() };
                if found == 0 || found != edit.count {
                    let times = format!("{found} times in '{}', not {}", variant.name, edit.count);
                    return Err(self.wrong(&format!("the text {:?} stands {times}", edit.find)));
                }
                *text = text.replace(&edit.find, &edit.replace);
            }
        }
        Ok(ReplacedShaders { name: self.name.clone(), file: self.file.clone(), texts })
    }

    pub(crate) fn wrong(&self, what: &str) -> FaultError {
        FaultError(format!("fault '{}': {what}", self.name))
    }
}
