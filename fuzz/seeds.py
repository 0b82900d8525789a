#!/usr/bin/env python3
"""Fill `fuzz/corpus` with small valid files, so that fuzzing begins behind the first checks.

    python3 -m venv venv && venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python fuzz/seeds.py
"""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

FUZZ = Path(__file__).parent
REPOSITORY = FUZZ.parent
CORPUS = FUZZ / "corpus"
ARCHITECTURES = ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2", "bert"]


def model(path, architecture, **more):
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_context_length(8)
    writer.add_embedding_length(4)
    writer.add_feed_forward_length(8)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_sliding_window(more.get("window", 0))
    if "experts" in more:
        writer.add_expert_count(more["experts"])
        writer.add_expert_used_count(1)
    if "scaling" in more:
        writer.add_string(f"{architecture}.rope.scaling.type", more["scaling"])
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_scaling_orig_ctx_len(4)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<s>", "a", "<0x0A>"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_token_types([3, 1, 6])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_array("tokenizer.ggml.precompiled_charsmap", [1, 2, 3])
    writer.add_tensor("token_embd.weight", np.zeros((3, 4), np.float32))
    writer.add_tensor("token_types.weight", np.zeros((2, 4), np.float32))
    if "factors" in more:
        for name in more["factors"]:
            writer.add_tensor(name, np.ones(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    for target in ("gguf", "safetensors", "index", "config"):
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
    gguf = CORPUS / "gguf"
    shutil.copy(REPOSITORY / "crates/models/assets/gguf/formats.gguf", gguf)
    for architecture in ARCHITECTURES:
        model(gguf / f"{architecture}.gguf", architecture, window=4)
    model(gguf / "experts.gguf", "llama", experts=2)
    model(gguf / "linear.gguf", "llama", scaling="linear")
    model(gguf / "yarn.gguf", "qwen2", scaling="yarn")
    model(gguf / "freqs.gguf", "llama", factors=["rope_freqs.weight"])
    model(gguf / "long.gguf", "phi3", factors=["rope_factors_long.weight", "rope_factors_short.weight"])
    for no in range(2):
        writer = GGUFWriter(gguf / f"part{no}", "llama")
        writer.add_uint16("split.no", no)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 2)
        writer.add_tensor(f"t{no}", np.zeros(1, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    parts = [(gguf / f"part{no}").read_bytes() for no in range(2)]
    (gguf / "split.gguf").write_bytes(b"SPLIT".join(parts))
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [], "data_offsets": [8, 12]},
    }
    text = json.dumps(header).encode()
    (CORPUS / "safetensors/small").write_bytes(struct.pack("<Q", len(text)) + text + bytes(12))
    index = {"metadata": {"total_size": 12}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (CORPUS / "index/small").write_text(json.dumps(index))
    for path in (REPOSITORY / "tests/models/goldens").glob("*/config.json"):
        shutil.copy(path, CORPUS / "config" / f"{path.parent.name}.json")


main()
