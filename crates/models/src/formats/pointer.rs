//! What lies in a model's place when the download went wrong: the few lines by which Git LFS stands
//! for a large file, or a page of a web site. A reader of the format would call it damaged.

use unisono_core::{Error, Result};

/// Fails where `bytes` is no file of a model but what stands for one.
pub(crate) fn check(file: &str, bytes: &[u8]) -> Result<()> {
    let head = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    // The second address is that of its first versions.
    let pointer = ["version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"];
    if pointer.iter().any(|begin| head.starts_with(begin.as_bytes())) {
        let size = std::str::from_utf8(head).ok().and_then(|text| text.lines().find_map(|l| l.strip_prefix("size ")));
        let size = size.and_then(|size| size.trim().parse::<u64>().ok());
        let size = size.map_or_else(String::new, |size| format!(" of {size} bytes"));
        return Err(Error::invalid(format!(
            "{file} is a Git LFS pointer to a file{size}, not the file itself: run `git lfs pull` where it was cloned"
        )));
    }
    let begin = head.trim_ascii_start();
    let page = [&b"<!doctype html"[..], b"<html"];
    if page.iter().any(|tag| begin.get(..tag.len()).is_some_and(|is| is.eq_ignore_ascii_case(tag))) {
        let message = format!("{file} is a web page, not a file of a model: the download went wrong");
        return Err(Error::invalid(message));
    }
    Ok(())
}
