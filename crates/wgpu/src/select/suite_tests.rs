//! Every case of the conformance suite finds launchable kernels on every vendor's devices: the
//! operations, element types, layouts and sizes that the suite knows, without a GPU at hand.

use std::collections::BTreeSet;

use unisono_conformance::{Case, Level, is_sampled, suite};
use unisono_core::{DType, KernelChoice, OpDesc, Operand, Reason, Result, SlotId, Step, Support, support};

use super::{candidates, recipe, tests};
use crate::caps::Caps;

/// Arithmetic on 64-bit integers is what WGSL cannot express.
fn is_beyond_wgsl(desc: &OpDesc) -> bool {
    desc.inputs.iter().chain(&desc.outputs).any(|d| d.dtype == DType::I64)
}

fn native(desc: &OpDesc, caps: &Caps) -> Result<(), Reason> {
    candidates(desc, caps).map(drop)
}

/// The case as a step, each operand in a slot of its own and where the suite puts it.
fn step(case: &Case) -> Step {
    let operands = |descs: &[unisono_core::TensorDesc], first: usize| {
        let place = |(i, &desc): (usize, &unisono_core::TensorDesc)| Operand {
            slot: SlotId((first + i) as u32),
            // Offsets of cases count blocks.
            offset: case.offsets.get(first + i).copied().unwrap_or(0) * desc.dtype.block_elements(),
            desc,
        };
        descs.iter().enumerate().map(place).collect::<Vec<_>>()
    };
    let inputs = operands(&case.desc.inputs, 0);
    let outputs = operands(&case.desc.outputs, inputs.len());
    Step { op: case.desc.op.clone(), inputs, outputs, kernel: KernelChoice::Auto }
}

fn check(case: &Case, caps: &Caps) {
    let name = caps.profile.name;
    match support(&case.desc, &|desc| native(desc, caps)) {
        Support::Native => {
            let step = step(case);
            for kernel in candidates(&case.desc, caps).expect("native") {
                let recipe =
                    recipe(&step, Some(&kernel), caps).unwrap_or_else(|e| panic!("{} on {name}: {e}", case.id));
                recipe.launches.iter().for_each(|launch| tests::check_launch(launch, &step, &recipe, caps));
            }
        }
        Support::Composed => {}
        Support::Unsupported(reason) => {
            assert!(is_beyond_wgsl(&case.desc), "{} on {name}: {reason}", case.id);
        }
    }
}

#[test]
fn the_suite_is_launchable_with_default_limits() {
    let caps = tests::default_limits();
    suite(Level::Full).iter().for_each(|case| check(case, &caps));
}

#[test]
fn the_suite_is_launchable_on_every_vendors_devices() {
    let cases = suite(Level::Full);
    for (i, caps) in tests::devices().iter().enumerate() {
        // Each device gets the quick cases and its share of the others.
        let share = |(n, case): &(usize, &Case)| case.level == Level::Quick || n % 4 == i % 4;
        cases.iter().enumerate().filter(share).for_each(|(_, case)| check(case, caps));
    }
}

/// What the quick level leaves out is other cases of a kernel, never a kernel of an operation.
#[test]
fn the_quick_level_runs_every_kernel_of_every_operation() {
    let cases = suite(Level::Quick);
    let mut missing = BTreeSet::new();
    for caps in tests::devices() {
        let (mut all, mut run) = (BTreeSet::new(), BTreeSet::new());
        for case in &cases {
            for (i, kernel) in candidates(&case.desc, &caps).unwrap_or_default().into_iter().enumerate() {
                let pair = (case.family, kernel);
                if i == 0 || is_sampled(case, &pair.1) {
                    run.insert(pair.clone());
                }
                all.insert(pair);
            }
        }
        let name = caps.profile.name;
        missing.extend(all.difference(&run).map(|(family, kernel)| format!("{name}: {family} by {kernel}")));
    }
    let list = missing.iter().cloned().collect::<Vec<_>>().join("\n");
    assert!(missing.is_empty(), "{} are never run:\n{list}", missing.len());
}
