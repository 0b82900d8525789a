// Replaces the masked bits of one 32-bit word: how the host writes single bytes.

struct Params {
    word: u32,
    mask: u32,
    value: u32,
    padding: u32,
}

@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
    words[params.word] = (words[params.word] & ~params.mask) | params.value;
}
