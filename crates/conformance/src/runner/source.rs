//! What failed kernels were built from, asked of the device while it is open.

use unisono_core::{Backend, KernelSource, OpDesc, decomposition};

use super::case::DECOMPOSITION;
use super::exec::catch;
use crate::report::sources::{Seen, split};
use crate::report::{CaseResult, SourceText};

/// The texts of a run, each once.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    seen: Seen,
    fresh: Vec<SourceText>,
}

impl Sources {
    /// What was found since this was last called.
    pub(crate) fn take(&mut self) -> Vec<SourceText> {
        std::mem::take(&mut self.fresh)
    }

    /// Asks for each failure among the results of `desc`. A device that cannot even say that is not asked
    /// for reasons: the failure has its own.
    pub(crate) async fn ask(&mut self, backend: &dyn Backend, desc: &OpDesc, results: &mut [CaseResult]) {
        for result in results.iter_mut().filter(|r| r.status.is_failure() && !r.kernel.is_empty()) {
            let found = catch(async { of_kernel(backend, desc, &result.kernel) }).await.unwrap_or_default();
            let (uses, texts) = split(found);
            result.sources = uses;
            self.fresh.extend(self.seen.fresh(texts));
        }
    }
}

/// The texts of a kernel; of a decomposition, those of the kernel that each of its steps gets.
fn of_kernel(backend: &dyn Backend, desc: &OpDesc, kernel: &str) -> Vec<KernelSource> {
    if kernel != DECOMPOSITION {
        return backend.kernel_source(desc, kernel);
    }
    let steps = decomposition(desc).map(|program| program.steps().to_vec()).unwrap_or_default();
    let mut all: Vec<KernelSource> = Vec::new();
    for step in steps {
        let desc = step.desc();
        let chosen = backend.kernels(&desc).into_iter().next();
        for source in chosen.map(|name| backend.kernel_source(&desc, &name)).unwrap_or_default() {
            if !all.contains(&source) {
                all.push(source);
            }
        }
    }
    all
}
