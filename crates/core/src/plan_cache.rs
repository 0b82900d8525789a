//! Plans by program structure: the second time a program is seen, nothing is compiled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Backend, Plan, Support};
use crate::error::Result;
use crate::fuse::fuse;
use crate::op::OpDesc;
use crate::program::Program;

/// A bounded cache of plans of one device; the least recently used one leaves first.
#[derive(Debug)]
pub struct PlanCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plans: HashMap<Arc<Program>, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    plan: Arc<dyn Plan>,
    last_used: u64,
}

impl PlanCache {
    /// A cache of at most `capacity` plans (at least one).
    pub fn new(capacity: usize) -> PlanCache {
        PlanCache { capacity: capacity.max(1), state: Mutex::default() }
    }

    /// The plan of `program`, [fused](fuse) and compiled by `backend` if it is not known yet.
    pub fn get_or_compile(&self, backend: &dyn Backend, program: Program) -> Result<Arc<dyn Plan>> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.clock += 1;
            let now = state.clock;
            if let Some(entry) = state.plans.get_mut(&program) {
                entry.last_used = now;
                return Ok(entry.plan.clone());
            }
        }
        // Compiled outside the lock: it can take long, and two threads rarely want the same plan.
        let native = |op: &OpDesc| backend.supports(op) == Support::Native;
        let plan = backend.compile(&fuse(&program, &native)?)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.plans.len() >= self.capacity {
            let oldest = state.plans.iter().min_by_key(|(_, e)| e.last_used).map(|(p, _)| p.clone());
            if let Some(oldest) = oldest {
                state.plans.remove(&oldest);
            }
        }
        let last_used = state.clock;
        state.plans.insert(Arc::new(program), Entry { plan: plan.clone(), last_used });
        Ok(plan)
    }

    /// How many plans are kept.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).plans.len()
    }

    /// Whether no plan is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
