#!/usr/bin/env python3
"""Write a GGUF file with every block format and every type of metadata, by the `gguf` package.

Why this exists: `crates/models` has its own reader. This file is from somebody else's writer, and
beside each tensor in a block format it has what the package decodes it to, so that layout, order of
dimensions and decoding are checked at once (`crates/models/tests/models/gguf_package.rs`).

  crates/models/assets/gguf/formats.gguf

How to run it:

    python3 -m venv venv && venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/gguf_formats.py
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from gguf import GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES

OUT = Path(__file__).parent.parent / "crates/models/assets/gguf/formats.gguf"
QUANTISED_BY_PACKAGE = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.MXFP4]
# Random blocks, with f16 scales of ordinary size at these places.
RANDOM_BLOCKS = {
    Type.Q2_K: [80, 82],
    Type.Q3_K: [108],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
    Type.IQ4_NL: [0],
    Type.IQ4_XS: [0],
}
INTEGERS = {
    Value.UINT8: (0, 255),
    Value.INT8: (-128, 127),
    Value.UINT16: (0, 2**16 - 1),
    Value.INT16: (-(2**15), 2**15 - 1),
    Value.UINT32: (0, 2**32 - 1),
    Value.INT32: (-(2**31), 2**31 - 1),
    Value.UINT64: (0, 2**64 - 1),
    Value.INT64: (-(2**63), 2**63 - 1),
}


def main():
    rng = np.random.default_rng(1)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(OUT, "test")
    writer.add_custom_alignment(64)
    for kind, (low, high) in INTEGERS.items():
        name = kind.name.lower()
        writer.add_key_value(f"test.{name}", high, kind)
        writer.add_key_value(f"test.{name}.low", low, kind)
        writer.add_key_value(f"test.{name}.array", [low, 1, high], Value.ARRAY, kind)
    for kind in (Value.FLOAT32, Value.FLOAT64):
        name = kind.name.lower()
        writer.add_key_value(f"test.{name}", -1.5, kind)
        writer.add_key_value(f"test.{name}.array", [0.25, float("inf"), -1e-30], Value.ARRAY, kind)
    writer.add_bool("test.bool", True)
    writer.add_key_value("test.bool.array", [True, False, True], Value.ARRAY, Value.BOOL)
    writer.add_string("test.string", "Grüße, 世界")
    writer.add_array("test.string.array", ["a", "", "Ġthe"])
    for kind in QUANTISED_BY_PACKAGE:
        values = rng.standard_normal((1, 256)).astype(np.float32)
        add(writer, kind, quants.quantize(values, kind))
    for kind, scales in RANDOM_BLOCKS.items():
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (256 // elements, size), dtype=np.uint8)
        for at in scales:
            scale = rng.uniform(0.01, 0.1, len(blocks)).astype(np.float16)
            blocks[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
        add(writer, kind, blocks.reshape(1, -1))
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    writer.add_tensor("f32", cube)
    writer.add_tensor("f16", cube.astype(np.float16))
    writer.add_tensor("bf16", quants.quantize(cube, Type.BF16), raw_dtype=Type.BF16)
    writer.add_tensor("i8", cube.astype(np.int8))
    writer.add_tensor("i16", cube.astype(np.int16))
    writer.add_tensor("i32", cube.astype(np.int32))
    writer.add_tensor("i64", cube.astype(np.int64))
    writer.add_tensor("f64", cube.astype(np.float64))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(OUT, OUT.stat().st_size, "bytes")


def add(writer, kind, blocks):
    """A tensor `[1, 256]` in a block format, and its values."""
    name = kind.name.lower()
    writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.add_tensor(f"{name}.values", quants.dequantize(blocks, kind).astype(np.float32))


main()
