#!/usr/bin/env python3
"""Write golden results of quantised GGUF models from independent implementations.

Why this exists: a GGUF file differs from the checkpoint it was made of in names, shapes, the order of
rows and the meaning of some weights, besides its blocks. Here the `gguf` package writes small files of
every architecture with every block format, and decodes their blocks; what that gives is put back into
Hugging Face's order and run by `transformers` in f64, as in `model_goldens.py`. `tests/models.rs`
runs the files.

Files are not stored but for their head (everything before the data, as the package wrote it). The data
of a tensor are made by a rule that the test follows, too: bytes are the upper bytes of the numbers of
`model_goldens.py` for "MODEL/TENSOR" (one number a byte), and then the fields of every block that hold
scales are overwritten with centre + spread * u, in f16 or f32 or as an exponent, u being the numbers
for "MODEL/TENSOR/fields". Plain tensors (F32, F16, BF16) follow the rule of `model_goldens.py`.

  tests/models/gguf/MODEL/head.gguf            the file before its data
  tests/models/gguf/MODEL/tensors.json         how the data are made; SHA-256 of the whole file
  tests/models/gguf/MODEL/goldens.*            as in model_goldens.py
  tests/models/gguf/llama-stored/model.gguf    a whole file, its blocks quantised by the package

How to run it (a few minutes):

    venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/gguf_goldens.py [MODEL...]
"""

import hashlib
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as T
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES
from safetensors.numpy import save_file

import model_goldens as mg

OUT = mg.OUT.parent / "gguf"

# ---------------------------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------------------------

# Fields of a block that hold scales: byte, kind, centre relative to the first (whose sign makes weights
# that have both), and the largest code, from which the size of weights follows.
FIELDS = {
    T.Q4_0: [(0, "f16", 1.0)],
    T.Q4_1: [(0, "f16", 1.0), (2, "f16", -7.5)],
    T.Q5_0: [(0, "f16", 1.0)],
    T.Q5_1: [(0, "f16", 1.0), (2, "f16", -15.5)],
    T.Q8_0: [(0, "f16", 1.0)],
    T.Q2_K: [(80, "f16", 1.0), (82, "f16", 1.5)],
    T.Q3_K: [(108, "f16", 1.0)],
    T.Q4_K: [(0, "f16", 1.0), (2, "f16", 7.5)],
    T.Q5_K: [(0, "f16", 1.0), (2, "f16", 15.5)],
    T.Q6_K: [(208, "f16", 1.0)],
    T.IQ4_NL: [(0, "f16", 1.0)],
    T.IQ4_XS: [(0, "f16", 1.0)],
    T.MXFP4: [(0, "exponent", 1.0)],
}


def u64(name, count):
    """The upper bytes of `count` numbers."""
    return ((mg.uniform(name, count) + 1.0) * 128.0).astype(np.uint8)


def blocks(model, tensor):
    """The bytes of a quantised tensor, [rows, bytes]."""
    kind = T[tensor["type"]]
    elements, size = GGML_QUANT_SIZES[kind]
    count = math.prod(tensor["shape"]) // elements
    name = f"{model}/{tensor['name']}"
    data = u64(name, count * size).reshape(count, size)
    fields = tensor["fields"]
    values = mg.uniform(name + "/fields", count * len(fields)).reshape(count, len(fields))
    for i, field in enumerate(fields):
        value = field["centre"] + field["spread"] * values[:, i]
        at = field["byte"]
        if field["kind"] == "f16":
            data[:, at:at + 2] = value.astype(np.float32).astype(np.float16).view(np.uint8).reshape(count, 2)
        else:
            data[:, at] = np.floor(value).astype(np.uint8)
    return data.reshape(tensor["shape"][:-1] + [-1])


def fields_for(model, tensor, size):
    """Fields such that weights have the root mean square `size`."""
    kind = T[tensor["type"]]
    if kind == T.MXFP4:
        # E8M0: 2^(e - 128), times codes up to 12 with a root mean square of about 6.
        return [dict(byte=0, kind="exponent", centre=float(round(128 + math.log2(size / 6)) + 0.5), spread=1.0)]
    trial = dict(tensor, fields=[dict(byte=b, kind=k, centre=c, spread=abs(c) * 0.3) for b, k, c in FIELDS[kind]])
    rms = np.sqrt(np.mean(quants.dequantize(blocks(model, trial), kind).astype(np.float64) ** 2))
    unit = size / rms
    return [dict(byte=b, kind=k, centre=float(f"{c * unit:.4g}"), spread=float(f"{abs(c) * unit * 0.3:.4g}"))
            for b, k, c in FIELDS[kind]]


# ---------------------------------------------------------------------------------------------
# The models: Hugging Face's configuration, GGUF's architecture, types of matrices
# ---------------------------------------------------------------------------------------------

A = gguf.MODEL_ARCH
S = mg.sizes

# Types by what the name of a tensor contains; the first that fits. Norms and biases are F32.
MODELS = {
    "llama-q4_0": (mg.llama(**S(128, 352, 2, 4, 2, 251)), A.LLAMA, [("", "Q4_0")], {}),
    "llama3-q4_k-q6_k": (mg.llama(**S(256, 512, 2, 4, 2, 509), rope_theta=500000.0, rope_scaling=mg.LLAMA3), A.LLAMA,
                         [("output.weight", "Q6_K"), ("ffn_down", "Q6_K"), ("attn_v", "Q6_K"), ("", "Q4_K")], {}),
    "llama-tied-mxfp4": (mg.llama(**S(128, 256, 2, 2, 1, 251), tie_word_embeddings=True), A.LLAMA,
                         [("token_embd", "Q8_0"), ("", "MXFP4")], {}),
    "llama-linear-f16": (mg.llama(**S(96, 152, 2, 3, 1, 251), rope_scaling={"type": "linear", "factor": 4.0}), A.LLAMA,
                         [("token_embd", "F32"), ("attn_q", "BF16"), ("", "F16")], {}),
    "mistral-q5_0": (mg.mistral(**S(128, 224, 2, 4, 2, 251), sliding_window=8), A.LLAMA, [("", "Q5_0")], {}),
    "mixtral-q4_k": (mg.mixtral(**S(256, 256, 2, 4, 2, 251), num_local_experts=4, num_experts_per_tok=2), A.LLAMA,
                     [("ffn_gate_inp", "F32"), ("ffn_down_exps", "Q8_0"), ("ffn_up_exps", "IQ4_XS"), ("", "Q4_K")], {}),
    "qwen2-q5_1": (mg.qwen2(**S(128, 192, 2, 4, 2, 251)), A.QWEN2, [("token_embd", "Q4_1"), ("", "Q5_1")], {}),
    "qwen3-q3_k": (mg.qwen3(**S(256, 256, 2, 4, 1, 251, head_dim=128), tie_word_embeddings=True), A.QWEN3,
                   [("token_embd", "Q6_K"), ("ffn_gate", "IQ4_NL"), ("", "Q3_K")], {}),
    "gemma2-q5_k": (mg.gemma2(**S(256, 256, 2, 4, 2, 251, head_dim=64), query_pre_attn_scalar=64), A.GEMMA2,
                    [("token_embd", "Q6_K"), ("", "Q5_K")], {}),
    "gemma3-q8_0": (mg.gemma3(**S(64, 96, 7, 2, 1, 251, head_dim=32), query_pre_attn_scalar=32,
                              sliding_window_pattern=6), A.GEMMA3, [("", "Q8_0")], {}),
    "phi3-q2_k": (mg.phi3(**S(256, 256, 2, 4, 2, 251)), A.PHI3, [("token_embd", "Q4_K"), ("", "Q2_K")], {}),
    "gpt2-iq4_nl": (mg.gpt2(**mg.sizes_gpt2(128, 2, 4, 251)), A.GPT2, [("position_embd", "F32"), ("", "IQ4_NL")], {}),
    "bert-q4_1": (mg.bert(**S(128, 192, 2, 4, 4, 251)), A.BERT,
                  [("position_embd", "F32"), ("token_types", "F32"), ("", "Q4_1")], {}),
    # Quantised by the package from numbers of the rule, and stored as a whole.
    "llama-stored": (mg.llama(**S(64, 96, 2, 2, 1, 251)), A.LLAMA,
                     [("token_embd", "Q8_0"), ("output.weight", "Q5_1"), ("attn_q", "Q4_0"), ("attn_k", "Q4_1"),
                      ("", "Q5_0")], {"stored": True}),
}
MODELS["bert-q4_1"][0].pop("num_key_value_heads")


def permute(rows, heads):
    """The order of rows of `q` and `k` in GGUF files of the Llama family: pairs side by side."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def unpermute(rows, heads):
    """What `permute` undoes."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def gguf_layout(config, arch, shapes):
    """GGUF tensors: name to (shape, Hugging Face's names)."""
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    names = gguf.get_tensor_name_map(arch, layers)
    out = {}
    for name, shape in shapes.items():
        if ".experts." in name:
            layer, expert, which = name.split(".")[2], int(name.split(".")[5]), name.split(".")[6]
            target = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}[which]
            entry = out.setdefault(f"blk.{layer}.{target}.weight", [[0] + shape, []])
            entry[0][0] += 1
            assert expert == len(entry[1])
            entry[1].append(name)
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert target, name
        if arch == A.GPT2 and ("attn.c_" in name or "mlp.c_" in name) and name.endswith("weight"):
            shape = shape[::-1]
        out[target] = [shape, [name]]
    return out


def to_hf(config, arch, name, hf, values):
    """A GGUF tensor's values as Hugging Face's tensors."""
    if len(hf) > 1:
        return dict(zip(hf, values))
    if arch == A.LLAMA and ".attn_q." in name:
        values = unpermute(values, config["num_attention_heads"])
    if arch == A.LLAMA and ".attn_k." in name:
        values = unpermute(values, config["num_key_value_heads"])
    if arch in (A.GEMMA2, A.GEMMA3) and name.endswith("norm.weight"):
        values = values - 1.0
    if arch == A.GPT2 and ("attn.c_" in hf[0] or "mlp.c_" in hf[0]) and name.endswith("weight"):
        values = values.T
    return {hf[0]: values}


def write_metadata(writer, config, arch, model):
    heads = config.get("num_attention_heads", config.get("n_head"))
    hidden = config.get("hidden_size", config.get("n_embd"))
    writer.add_name(model)
    writer.add_context_length(config.get("max_position_embeddings", config.get("n_positions")))
    writer.add_embedding_length(hidden)
    writer.add_block_count(config.get("num_hidden_layers", config.get("n_layer")))
    writer.add_feed_forward_length(config.get("intermediate_size", config.get("n_inner") or 4 * hidden))
    writer.add_head_count(heads)
    if arch == A.GPT2:
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
        return
    if arch == A.BERT:
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        return
    head_dim = config.get("head_dim", hidden // heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    if config.get("head_dim"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if arch in (A.LLAMA, A.PHI3):
        writer.add_rope_dimension_count(head_dim)
    if arch == A.LLAMA:
        writer.add_vocab_size(config["vocab_size"])
    if arch == A.PHI3:
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    if config.get("sliding_window") and arch != A.QWEN2:
        writer.add_sliding_window(config["sliding_window"])
    if (config.get("rope_scaling") or {}).get("type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config["rope_scaling"]["factor"])
    if config.get("num_local_experts"):
        writer.add_expert_count(config["num_local_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    for key, add in [("attn_logit_softcapping", writer.add_attn_logit_softcapping),
                     ("final_logit_softcapping", writer.add_final_logit_softcapping)]:
        if config.get(key):
            add(config[key])


def llama3_factors(config):
    """What divides each frequency, by transformers' own function."""
    loaded = transformers.AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    function = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"]
    with mg.f64_everywhere():
        scaled = function(loaded, "cpu")[0].numpy()
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    plain = config["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim)
    return (plain / scaled).astype(np.float32)


def write(model):
    config, arch, types, options = MODELS[model]
    kind = config["model_type"]
    _, shapes = mg.layout_of(config, {})
    recipe, arrays, checkpoint = [], [], {}
    for name, (shape, hf) in sorted(gguf_layout(config, arch, shapes).items()):
        plain = len(shape) == 1
        type_name = "F32" if plain else next(t for part, t in types if part in name)
        tensor = dict(name=name, shape=shape, type=type_name)
        offset, scale = mg.distribution(hf[0], shape[::-1] if kind == "gpt2" and len(shape) == 2 else shape, kind)
        # The weight of a norm of Gemma is stored with its one.
        offset = 1.0 if kind.startswith("gemma") and "norm" in name else offset
        if type_name in ("F32", "F16", "BF16") or options.get("stored"):
            tensor |= dict(offset=offset, scale=scale)
            values = mg.weights_of(model, dict(tensor, dtype=type_name if type_name in ("F32", "F16", "BF16") else "F32"))
            data = values.view(torch.uint8).numpy() if type_name == "BF16" else values.numpy()
            values = values.double().numpy()
            if type_name not in ("F32", "F16", "BF16"):
                data = quants.quantize(data, T[type_name])
                values = quants.dequantize(data, T[type_name]).astype(np.float64)
        else:
            tensor["fields"] = fields_for(model, tensor, scale / math.sqrt(3))
            data = blocks(model, tensor)
            values = quants.dequantize(data, T[type_name]).astype(np.float64)
        assert list(values.shape) == shape, name
        recipe.append(tensor)
        arrays.append((name, data, T[type_name]))
        for hf_name, value in to_hf(config, arch, name, hf, values).items():
            checkpoint[hf_name] = torch.from_numpy(np.ascontiguousarray(value))
    folder = OUT / model
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.gguf"
        writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
        write_metadata(writer, config, arch, model)
        if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
            factors = llama3_factors(config)
            recipe.append(dict(name="rope_freqs.weight", shape=list(factors.shape), type="F32",
                               bytes=factors.tobytes().hex()))
            arrays.append(("rope_freqs.weight", factors, T.F32))
        for name, data, type_ in arrays:
            writer.add_tensor(name, data, raw_dtype=type_)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        data = path.read_bytes()
        start = gguf.GGUFReader(path).data_offset
    instance = mg.instantiate(config, checkpoint)
    goldens = mg.encoder_goldens if kind == "bert" else mg.decoder_goldens
    record, results = goldens(model, config, instance, options)
    if options.get("stored"):
        (folder / "model.gguf").write_bytes(data)
        recipe = []
    else:
        (folder / "head.gguf").write_bytes(data[:start])
    digest = hashlib.sha256(data).hexdigest()
    (folder / "tensors.json").write_text(mg.dump(dict(sha256=digest, tensors=recipe)))
    (folder / "goldens.json").write_text(mg.dump(record))
    save_file(results, folder / "goldens.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    gap = min((t.get("min_top2_gap", math.inf) for t in record["texts"]), default=math.inf)
    size = sum(f.stat().st_size for f in folder.iterdir())
    spread = float(results.get("0.logits", results["0.hidden"]).std())
    print(f"{model}: {size // 1024} KiB of {len(data) // 1024}, smallest gap {gap:.4f}, spread {spread:.2f}", flush=True)


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    assert permute(np.arange(8).reshape(8, 1), 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    for model in sys.argv[1:] or MODELS:
        write(model)


if __name__ == "__main__":
    main()
