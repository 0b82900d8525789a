#!/usr/bin/env python3
"""Write the golden results of the block formats from an independent implementation.

Why this exists: a wrong bit in an unpacking routine is easily written twice, once in a kernel and
once in its test. These files come from the `gguf` package (the reference of the file format) and, for
quantising K-quants, which the package cannot do, from the few lines of numpy below, which follow
docs/quantisation.md.

  tests/quant/numbers.f32      the numbers that are quantised, blocks of 256
  tests/quant/FORMAT.made      their blocks
  tests/quant/FORMAT.blocks    random blocks: every code, scales of either sign, subnormal ones too
  tests/quant/FORMAT.f32       what those decode to

How to run it (a second):

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    venv/bin/python scripts/quant_goldens.py
"""

from pathlib import Path

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

F = np.float32
OUT = Path(__file__).resolve().parent.parent / "tests" / "quant"

# Name, type, bytes at which f16 fields start, whether the package quantises it.
FORMATS = [
    ("q4_0", T.Q4_0, [0], True),
    ("q4_1", T.Q4_1, [0, 2], True),
    ("q5_0", T.Q5_0, [0], True),
    ("q5_1", T.Q5_1, [0, 2], True),
    ("q8_0", T.Q8_0, [0], True),
    ("q2_k", T.Q2_K, [80, 82], False),
    ("q3_k", T.Q3_K, [108], False),
    ("q4_k", T.Q4_K, [0, 2], False),
    ("q5_k", T.Q5_K, [0, 2], False),
    ("q6_k", T.Q6_K, [208], False),
    ("iq4_nl", T.IQ4_NL, [0], False),
    ("iq4_xs", T.IQ4_XS, [0], False),
    ("mxfp4", T.MXFP4, [], True),
]


def numbers(rng):
    """Eight blocks of 256, each with its own character."""
    x = rng.standard_normal((8, 256)).astype(F)
    x[1] *= np.repeat(F(2.0) ** rng.integers(-8, 8, 8), 32).astype(F)
    x[2] = rng.integers(-8, 9, 256)
    x[3] = x[3] * F(0.25) + F(5)
    x[4] *= F(1e-5)
    x[4, 64:128] = 0
    x[5] *= F(3000)
    x[5, 7::16] = 0
    x[6] = np.where(rng.random(256) < 0.1, x[6], F(0))
    x[6, :32] = F(-1.5)
    x[7] = -np.abs(x[7])
    # Opposite elements of one size: the first decides.
    x[7, 32:64] = np.tile(np.array([3, -3, 1, -2], F), 8)
    return x


def random_blocks(rng, qtype, halves):
    elements, size = GGML_QUANT_SIZES[qtype]
    n = 1024 // elements if elements == 32 else 6
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for i, at in enumerate(halves):
        d = (rng.uniform(0.5, 2.0, n) * 2.0 ** rng.integers(-12, 1, n) * rng.choice([-1, 1], n)).astype(np.float16)
        d[0] = 1
        d[1] = [-6e-8, 3e-5][i]
        d[2] = 0
        b[:, at : at + 2] = d.reshape(-1, 1).view(np.uint8)
    if qtype == T.MXFP4:
        b[:, 0] = rng.integers(110, 140, n)
        b[:2, 0] = [2, 252]
    return b


def half(x):
    """Rounded to f16, and as f32 again."""
    return x.astype(np.float16), x.astype(np.float16).astype(F)


def ratio(a, b):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, F(0), a / b).astype(F)


def rounded(x):
    """Half away from zero."""
    return (np.sign(x) * np.floor(np.abs(x) + F(0.5))).astype(F)


def with_minimum(x, group, top, scales):
    """q2_k, q4_k, q5_k: f16 d and dmin, scale and minimum of each group, codes."""
    g = x.reshape(len(x), -1, group)
    low, high = np.maximum(F(0), -g.min(-1)), g.max(-1)
    dmin16, dmin = half(low.max(-1, keepdims=True) / F(scales))
    minimum = np.minimum(rounded(ratio(low, dmin)), F(scales))
    step = np.maximum(high + dmin * minimum, F(0)) / F(top)
    d16, d = half(step.max(-1, keepdims=True) / F(scales))
    scale = np.minimum(rounded(ratio(step, d)), F(scales))
    q = rounded(ratio(g + (dmin * minimum)[..., None], (d * scale)[..., None])).clip(0, top)
    return d16, dmin16, scale.astype(np.uint8), minimum.astype(np.uint8), q.reshape(len(x), 256).astype(np.uint8)


def around_zero(x, top, scales):
    """q3_k, q6_k: f16 d, scale of each group, codes."""
    g = x.reshape(len(x), 16, 16)
    step = np.abs(g).max(-1) / F(top)
    d16, d = half(step.max(-1, keepdims=True) / F(scales))
    scale = np.minimum(rounded(ratio(step, d)), F(scales))
    q = rounded(ratio(g, (d * scale)[..., None])).clip(-top, top)
    return d16, scale.astype(np.uint8), q.reshape(len(x), 256).astype(np.int8)


def raw(x):
    return x.view(np.uint8).reshape(len(x), -1)


def quarters(q):
    q = q.reshape(-1, 2, 4, 32)
    return (q[:, :, 0] | q[:, :, 1] << 2 | q[:, :, 2] << 4 | q[:, :, 3] << 6).reshape(-1, 64)


def nibbles(q):
    q = (q & 15).reshape(-1, 4, 2, 32)
    return (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)


def six_bits(scale, minimum):
    low, high = scale[:, :4] | (scale[:, 4:] >> 4) << 6, minimum[:, :4] | (minimum[:, 4:] >> 4) << 6
    return np.concatenate([low, high, (scale[:, 4:] & 15) | (minimum[:, 4:] & 15) << 4], 1)


def make_k(name, x):
    if name == "q2_k":
        d, dmin, scale, minimum, q = with_minimum(x, 16, 3, 15)
        return np.concatenate([scale | minimum << 4, quarters(q), raw(d), raw(dmin)], 1)
    if name == "q4_k":
        d, dmin, scale, minimum, q = with_minimum(x, 32, 15, 63)
        return np.concatenate([raw(d), raw(dmin), six_bits(scale, minimum), nibbles(q)], 1)
    if name == "q5_k":
        d, dmin, scale, minimum, q = with_minimum(x, 32, 31, 63)
        upper = np.packbits((q >> 4).reshape(-1, 8, 32), axis=1, bitorder="little").reshape(-1, 32)
        return np.concatenate([raw(d), raw(dmin), six_bits(scale, minimum), upper, nibbles(q)], 1)
    if name == "q3_k":
        d, scale, q = around_zero(x, 3, 31)
        q, scale = (q + 4).astype(np.uint8), scale + np.uint8(32)
        upper = np.packbits((q >> 2).reshape(-1, 8, 32), axis=1, bitorder="little").reshape(-1, 32)
        low = (scale[:, :8] & 15) | (scale[:, 8:] & 15) << 4
        s = (scale >> 4).reshape(-1, 4, 4)
        high = s[:, 0] | s[:, 1] << 2 | s[:, 2] << 4 | s[:, 3] << 6
        return np.concatenate([upper, quarters(q & 3), low, high, raw(d)], 1)
    d, scale, q = around_zero(x, 31, 127)
    q = (q + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.concatenate([q[:, :, :2] & 15 | (q[:, :, 2:] & 15) << 4], 1).reshape(-1, 128)
    u = q >> 4
    upper = (u[:, :, 0] | u[:, :, 1] << 2 | u[:, :, 2] << 4 | u[:, :, 3] << 6).reshape(-1, 64)
    return np.concatenate([low, upper, scale, raw(d)], 1)


def main():
    rng = np.random.default_rng(20)
    OUT.mkdir(parents=True, exist_ok=True)
    x = numbers(rng)
    x.tofile(OUT / "numbers.f32")
    for name, qtype, halves, packaged in FORMATS:
        blocks = random_blocks(rng, qtype, halves)
        blocks.tofile(OUT / f"{name}.blocks")
        quants.dequantize(blocks, qtype).astype(F).tofile(OUT / f"{name}.f32")
        if name.startswith("iq4"):
            continue
        made = quants.quantize(x, qtype) if packaged else make_k(name, x)
        made.astype(np.uint8).tofile(OUT / f"{name}.made")
        error = np.abs(quants.dequantize(made.astype(np.uint8), qtype).reshape(x.shape) - x).max(-1)
        print(f"{name:7} largest error of a block / its largest number: {(error / np.abs(x).max(-1)).max():.4f}")


if __name__ == "__main__":
    main()
