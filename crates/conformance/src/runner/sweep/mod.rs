//! Cases that are too many to be listed: every length of a sum, and every bit pattern of an operand.
//!
//! One id stands for thousands of operations, which run in chunks; a failure names the length or the
//! pattern. Long sweeps are cut into parts with an id each, so that a run shows progress, can be
//! resumed at a part and can be shared among processes.

mod every_k;
mod patterns;

use unisono_core::op::{Op, UnaryOp};
use unisono_core::{Backend, DType, OpDesc, Result};

use super::exec::catch;
use super::{Kernels, Options};
use crate::case::Level;
use crate::glob::glob_matches;
use crate::report::{CaseResult, Status};
pub(crate) use every_k::EveryK;
pub(crate) use patterns::Patterns;

/// The longest sum.
pub(crate) const MOST_K: usize = 65_536;

/// One sweep, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) id: String,
    pub(crate) level: Level,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    EveryK(EveryK),
    Patterns(Patterns),
}

/// Every sweep of every level, in a fixed order.
pub(crate) fn all() -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    for weight in [DType::F32, DType::F16, DType::BF16].into_iter().chain(DType::BLOCKS) {
        let layouts: &[(bool, &str)] = if weight.is_block() { &[(true, "nt")] } else { &[(true, "nt"), (false, "nn")] };
        for (m, &(along_k, layout)) in [1, 9].into_iter().flat_map(|m| layouts.iter().map(move |l| (m, l))) {
            for (name, level) in [("every_k", Level::Full), ("every_k_and_kernel", Level::Exhaustive)] {
                let parts = if level == Level::Full { 1 } else { 16 };
                let size = MOST_K / parts;
                for part in 0..parts {
                    let (from, to) = (part * size + 1, (part + 1) * size);
                    let id = format!(
                        "matmul/{name}:dtype=f32_{weight}_f32,m={m},n=3,layout={layout},k={from}-{to},data=exact:seed=1"
                    );
                    let every = EveryK { weight, m, along_k, from, to, everything: level == Level::Exhaustive };
                    sweeps.push(Sweep { id, level, kind: Kind::EveryK(every) });
                }
            }
        }
    }
    let functions = UnaryOp::ALL.into_iter().filter(|op| op.takes(DType::F32)).map(|op| (Op::Unary(op), DType::F32));
    for (op, out) in functions.chain([(Op::Copy, DType::F16), (Op::Copy, DType::BF16)]) {
        let types = if out == DType::F32 { "f32".to_owned() } else { format!("f32_{out}") };
        let name = op.name();
        let id = format!("{name}/patterns:dtype={types},count=2^24,data=bits:seed=1");
        let patterns = Patterns { op: op.clone(), out, every: 256, from: 0, count: 1 << 24 };
        sweeps.push(Sweep { id, level: Level::Full, kind: Kind::Patterns(patterns) });
        for part in 0..16u64 {
            let id = format!("{name}/every_pattern:dtype={types},part={part:02}of16,data=bits:seed=1");
            let patterns = Patterns { op: op.clone(), out, every: 1, from: part << 28, count: 1 << 28 };
            sweeps.push(Sweep { id, level: Level::Exhaustive, kind: Kind::Patterns(patterns) });
        }
    }
    sweeps
}

/// The sweeps that belong to a run: those of its level that match, and those that are named in full.
pub(crate) fn select(options: &Options) -> Vec<Sweep> {
    let fits = |sweep: &Sweep, p: &String| {
        let begins = if p.contains('*') { glob_matches(p, &sweep.id) } else { sweep.id.starts_with(p.as_str()) };
        *p == sweep.id || (begins && sweep.level <= options.level)
    };
    let none = options.patterns.is_empty();
    let mut sweeps = all();
    if let Some(only) = &options.only {
        sweeps.retain(|s| only.contains_key(&s.id));
        return sweeps;
    }
    sweeps.retain(|s| if none { s.level <= options.level } else { options.patterns.iter().any(|p| fits(s, p)) });
    sweeps
}

impl Sweep {
    /// The operation's name.
    pub(crate) fn family(&self) -> &'static str {
        match &self.kind {
            Kind::EveryK(_) => "matmul",
            Kind::Patterns(p) => p.op.name(),
        }
    }

    /// The element type under which reports list it.
    pub(crate) fn dtype(&self) -> DType {
        match &self.kind {
            Kind::EveryK(k) if k.weight.is_block() => k.weight,
            _ => DType::F32,
        }
    }

    /// A result that says nothing yet.
    pub(crate) fn blank(&self) -> CaseResult {
        super::blank_result(&self.id, self.family(), self.dtype().name())
    }

    /// The hash of its data.
    pub(crate) fn input_hash(&self) -> Result<String> {
        match &self.kind {
            Kind::EveryK(every) => every.input_hash(),
            Kind::Patterns(patterns) => patterns.input_hash(),
        }
    }

    /// Runs it on every kernel that `options` ask for.
    pub(crate) async fn run(&self, backend: &dyn Backend, options: &Options) -> Vec<CaseResult> {
        let names = match catch(async { self.kernels(backend) }).await {
            Ok(Ok(names)) => names,
            Ok(Err(e)) => return vec![CaseResult { status: Status::Error, detail: e.to_string(), ..self.blank() }],
            Err(panic) => return vec![CaseResult { status: Status::Error, detail: panic, ..self.blank() }],
        };
        if names.is_empty() {
            let detail = "no kernel serves the operation".to_owned();
            return vec![CaseResult { status: Status::Unsupported, detail, ..self.blank() }];
        }
        let mut results = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            if !options.asks_for(&self.id, &name) || (i > 0 && options.kernels == Kernels::Selected) {
                continue;
            }
            let mut result = CaseResult { kernel: name.to_string(), selected: i == 0, ..self.blank() };
            super::now::begin(&name);
            let start = web_time::Instant::now();
            let outcome = catch(async {
                match &self.kind {
                    Kind::EveryK(every) => every.run(backend, &name, i == 0, &mut result).await,
                    Kind::Patterns(patterns) => patterns.run(backend, &name, &mut result).await,
                }
            })
            .await;
            result.seconds = start.elapsed().as_secs_f64();
            results.push(super::program::settle(result, outcome));
        }
        results
    }

    /// The operation, at its largest.
    pub(crate) fn desc(&self) -> Result<OpDesc> {
        match &self.kind {
            Kind::EveryK(every) => every.desc(every.to),
            Kind::Patterns(patterns) => patterns.desc(),
        }
    }

    fn kernels(&self, backend: &dyn Backend) -> Result<Vec<std::sync::Arc<str>>> {
        Ok(backend.kernels(&self.desc()?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_parts_cover_everything() {
        let sweeps = all();
        let ids: HashSet<&str> = sweeps.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), sweeps.len());
        assert!(sweeps.iter().all(|s| s.id.starts_with(&format!("{}/", s.family())) && s.level > Level::Quick));
        let lengths: usize = sweeps
            .iter()
            .filter(|s| s.id.contains("every_k_and_kernel:dtype=f32_f16_f32,m=1,n=3,layout=nt"))
            .map(|s| match &s.kind {
                Kind::EveryK(k) => k.lengths(false).len(),
                Kind::Patterns(_) => 0,
            })
            .sum();
        assert_eq!(lengths, MOST_K);
        let exp = sweeps.iter().filter(|s| s.id.starts_with("exp/every_pattern"));
        let total: u64 = exp
            .map(|s| match &s.kind {
                Kind::Patterns(p) => p.count,
                Kind::EveryK(_) => 0,
            })
            .sum();
        assert_eq!(total, 1 << 32);
    }

    #[test]
    fn levels_and_ids_select() {
        let count = |level, patterns: &[&str]| {
            let patterns = patterns.iter().map(ToString::to_string).collect();
            select(&Options { patterns, ..Options::new(level) }).len()
        };
        assert_eq!(count(Level::Quick, &[]), 0);
        let id = "exp/every_pattern:dtype=f32,part=03of16,data=bits:seed=1";
        assert_eq!(count(Level::Quick, &[id]), 1, "an exact id is found whatever its level");
        assert_eq!(count(Level::Full, &["exp/"]), 1);
        assert_eq!(count(Level::Exhaustive, &["exp/"]), 17);
    }
}
