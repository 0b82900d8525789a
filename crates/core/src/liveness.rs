//! Memory for temporaries: slots whose lifetimes do not meet share a block.
//!
//! The result is a handful of blocks, each to become one allocation. Blocks, not offsets into one
//! arena, because WebGPU forbids reading and writing one buffer in the same dispatch.

use crate::program::{Program, SlotKind};

/// Which block each temporary lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemporaryBlocks {
    /// Size of each block in bytes.
    pub blocks: Vec<u64>,
    /// For each slot of the program, the block of a temporary that is used, else `None`.
    pub block_of: Vec<Option<usize>>,
}

/// Assigns temporaries to blocks: in order of first use, each takes the smallest free block that
/// fits, or grows the largest free one, or opens a new block.
pub fn assign_blocks(program: &Program) -> TemporaryBlocks {
    let slots = program.slots();
    let mut last_use = vec![None; slots.len()];
    for (at, step) in program.steps().iter().enumerate() {
        for operand in step.inputs.iter().chain(&step.outputs) {
            last_use[operand.slot.index()] = Some(at);
        }
    }
    let mut result = TemporaryBlocks { blocks: Vec::new(), block_of: vec![None; slots.len()] };
    let mut free: Vec<usize> = Vec::new();
    for (at, step) in program.steps().iter().enumerate() {
        let operands = || step.inputs.iter().chain(&step.outputs);
        for slot in operands().map(|o| o.slot.index()) {
            if slots[slot].kind != SlotKind::Temporary || result.block_of[slot].is_some() {
                continue;
            }
            let bytes = slots[slot].bytes;
            let blocks = &mut result.blocks;
            let fitting = free.iter().copied().filter(|&b| blocks[b] >= bytes).min_by_key(|&b| blocks[b]);
            let block = fitting.or_else(|| free.iter().copied().max_by_key(|&b| blocks[b])).unwrap_or_else(|| {
                blocks.push(0);
                blocks.len() - 1
            });
            free.retain(|&b| b != block);
            blocks[block] = blocks[block].max(bytes);
            result.block_of[slot] = Some(block);
        }
        let mut ended: Vec<usize> = operands()
            .map(|o| o.slot.index())
            .filter(|&s| last_use[s] == Some(at))
            .filter_map(|s| result.block_of[s])
            .collect();
        ended.sort_unstable();
        ended.dedup();
        free.extend(ended);
    }
    result
}
