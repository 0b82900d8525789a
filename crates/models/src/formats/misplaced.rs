//! A directory without weights that can be read: what it has instead, and what to do about it.

use std::path::Path;

use super::text::shown;

/// What is said of a directory without `model.safetensors` and without an index, if it has files of
/// weights in another form.
pub(super) fn explain(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir).ok()?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    let find = |matches: &dyn Fn(&str) -> bool| names.iter().find(|name| matches(name)).map(|name| shown(name));
    let place = dir.display();
    if let Some(name) = find(&|name| name.starts_with("adapter_model.")) {
        return Some(format!(
            "{place} has an adapter ({name}), not a model: merge it into its base model first, with merge_and_unload() \
             of the Python package peft"
        ));
    }
    if let Some(name) = find(&|name| name.ends_with(".safetensors")) {
        return Some(format!("{place} has no model.safetensors, but {name}: name that file, or rename it"));
    }
    let name = find(&is_pickle)?;
    Some(format!("{place} has only {name}. {}", pickle("the directory")))
}

/// Whether a file holds weights as PyTorch pickles them, or as another framework stores them.
pub(super) fn is_pickle(name: &str) -> bool {
    let end = name.rsplit('.').next().unwrap_or_default();
    let index = name.ends_with(".bin.index.json");
    index || matches!(end, "bin" | "pt" | "pth" | "ckpt" | "h5" | "msgpack" | "onnx" | "npz")
}

/// What to do about such a file.
pub(super) fn pickle(what: &str) -> String {
    format!(
        "Weights are read from safetensors and GGUF files alone (loading a pickle of PyTorch can run any program). \
         Convert {what} with the Python package transformers: \
         AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW), or AutoModel for an encoder"
    )
}
