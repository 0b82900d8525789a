//! The planted faults of this crate: mistakes that real kernels make, at least one for each kind of
//! check that the suite claims to do.
//!
//! Shader faults are files in TOML, in the format that anyone can add to with `--extra`; faults of
//! the CPU backend are a table, because they are code. A change that nothing can see by the contract
//! (a comment, a rounding that the bounds admit) is no fault and does not belong here.

mod cpu;

use crate::fault::{Fault, FaultError};
use crate::file;

/// The files of shader faults, by family.
const FILES: [(&str, &str); 6] = [
    ("matmul.toml", include_str!("matmul.toml")),
    ("quant.toml", include_str!("quant.toml")),
    ("rows.toml", include_str!("rows.toml")),
    ("attention.toml", include_str!("attention.toml")),
    ("elements.toml", include_str!("elements.toml")),
    ("order.toml", include_str!("order.toml")),
];

/// Every fault of this crate, those of shaders first; an error if a file of it cannot be read.
pub fn all() -> Result<Vec<Fault>, FaultError> {
    let mut faults = Vec::new();
    for (name, text) in FILES {
        faults.extend(file::parse(text).map_err(|e| FaultError(format!("{name}: {e}")))?);
    }
    faults.extend(cpu::faults());
    Ok(faults)
}
