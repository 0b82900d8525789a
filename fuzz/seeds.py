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


SMALL = {
    "model": "llama", "tokens": ["<s>", "a", "<0x0A>"], "scores": [0.0, -1.0, -2.0], "types": [3, 1, 6], "merges": ["a b"],
    "eos_id": 0, "add_bos": True, "precompiled_charsmap": [1, 2, 3],
}
KEYS = {
    "bos_id": "bos_token_id", "eos_id": "eos_token_id", "unk_id": "unknown_token_id", "cls_id": "cls_token_id",
    "sep_id": "seperator_token_id", "add_bos": "add_bos_token", "add_eos": "add_eos_token", "pre": "pre",
    "add_space_prefix": "add_space_prefix", "remove_extra_whitespaces": "remove_extra_whitespaces",
}


def vocabulary(writer, values):
    writer.add_tokenizer_model(values["model"])
    writer.add_token_list(values["tokens"])
    if values.get("scores"):
        writer.add_token_scores(values["scores"])
    if values.get("types"):
        writer.add_token_types(values["types"])
    if values.get("merges"):
        writer.add_token_merges(values["merges"])
    if values.get("precompiled_charsmap"):
        writer.add_array("tokenizer.ggml.precompiled_charsmap", values["precompiled_charsmap"])
    for name, key in KEYS.items():
        value = values.get(name)
        if isinstance(value, bool):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
        elif value is not None:
            writer.add_string(f"tokenizer.ggml.{key}", value)


def shortened(values):
    """A vocabulary of the goldens with fewer tokens, so that an input is small."""
    keep = 120
    merges = values.get("merges", [])[:20]
    wanted = {letter for merge in merges for letter in (*merge.split(" "), merge.replace(" ", ""))}
    letters = 256 if values["model"] == "gpt2" else keep
    kept = [i for i, token in enumerate(values["tokens"]) if i < letters or token in wanted or values["types"][i] == 3]
    place = {old: new for new, old in enumerate(kept)}
    short = dict(values, merges=merges)
    for key in ("tokens", "types", "scores"):
        if values.get(key):
            short[key] = [values[key][i] for i in kept]
    for key in ("bos_id", "eos_id", "unk_id", "cls_id", "sep_id"):
        if values.get(key) is not None:
            short[key] = place[values[key]]
    return short


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
    vocabulary(writer, more.get("vocabulary", SMALL))
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
    for target in ("gguf", "safetensors", "index", "config", "vocabulary", "chat"):
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
    bert = json.loads((REPOSITORY / "tests/models/goldens/bert-heads32/config.json").read_text())
    for pooling in ("cls", "mean", "last"):
        (CORPUS / "config" / f"bert-{pooling}.json").write_text(json.dumps(dict(bert, pooling=pooling)))
    goldens = REPOSITORY / "crates/models/tests/tokenizers"
    for path in sorted(goldens.glob("*.json")):
        golden = json.loads(path.read_text())
        if "vocabulary" in golden:
            file = CORPUS / "vocabulary" / f"{path.stem}.gguf"
            model(file, "llama", vocabulary=shortened(golden["vocabulary"]))
            file.write_bytes(file.read_bytes() + b"TEXT the <s> of it")
    for name, template in json.loads((goldens / "chat.json").read_text())["templates"].items():
        (CORPUS / "chat" / name).write_text(template + "TEXTHow are you?")


main()
