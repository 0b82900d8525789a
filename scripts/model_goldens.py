#!/usr/bin/env python3
"""Write golden results of every architecture from an independent implementation.

Why this exists: a network can be written wrongly in a way that still gives fluent text. So small
models with random weights are run by `transformers`, in f64, and `tests/models.rs` runs the same
models on every device and compares.

Weights are not stored: script and test make them by one rule, element `i` of a tensor being

    hash  = FNV-1a 64 of "MODEL/TENSOR"
    z     = splitmix64's output for the state hash + (i + 1) * 0x9E3779B97F4A7C15
    value = offset + scale * ((z >> 40) / 2^23 - 1), in f64, rounded to f32, then to the stored type

`tensors.json` has offset, scale, shape and type of each, and the SHA-256 of all bytes in its order.

  tests/models/goldens/MODEL/config.json          as such a model is published
  tests/models/goldens/MODEL/tensors.json         the weights, see above
  tests/models/goldens/MODEL/goldens.json         tokens, positions, and what the bound needs
  tests/models/goldens/MODEL/goldens.safetensors  logits and hidden states, f32

The run is f64 throughout, tables of rotary embedding and norms included, which transformers rounds
to f32 otherwise: see `f64_everywhere`, which also proves it.

How to run it (a few minutes on two cores):

    python3 -m venv venv && venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/model_goldens.py [MODEL...]
"""

import contextlib
import hashlib
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

OUT = Path(__file__).resolve().parent.parent / "tests" / "models" / "goldens"

# ---------------------------------------------------------------------------------------------
# The rule of the weights
# ---------------------------------------------------------------------------------------------

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def fnv1a(text):
    """FNV-1a, 64 bits."""
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


def uniform(name, count):
    """`count` numbers in [-1, 1), f64, exact."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_RATIO
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def weights_of(model, tensor):
    """The tensor as a torch tensor of its stored type."""
    count = math.prod(tensor["shape"])
    values = tensor["offset"] + tensor["scale"] * uniform(f"{model}/{tensor['name']}", count)
    values = torch.from_numpy(values.astype(np.float32)).reshape(tensor["shape"])
    return values.to({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[tensor["dtype"]])


def raw_bytes(tensor):
    """The little-endian bytes of a torch tensor."""
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def distribution(name, shape, kind):
    """Offset and scale: activations stay near one, and every part matters to the result."""
    plus_one = kind in ("gemma2", "gemma3_text")
    if "norm" in name.lower() or ".ln_" in name or name.startswith("ln_"):
        return (0.0 if plus_one or name.endswith("bias") else 1.0), 0.3
    if name.endswith("bias"):
        return 0.0, 0.5
    if "embed" in name or name.endswith(("wte.weight", "wpe.weight")):
        return 0.0, 0.15 if plus_one else 0.25
    if kind == "gpt2" and not name.endswith("lm_head.weight"):
        fan_in = shape[0]
    else:
        fan_in = shape[-1]
    gain = 1.0
    for part, value in [("q_proj", 1.5), ("k_proj", 1.5), ("query", 1.5), ("key", 1.5), ("qkv_proj", 1.5),
                        ("c_attn", 1.5), ("v_proj", 2.0), ("value", 2.0), ("gate.weight", 2.0)]:
        if part in name:
            gain = value
            break
    # Short enough to be read, the same number for everyone.
    return 0.0, float(f"{gain * math.sqrt(3 / fan_in):.6f}")


# ---------------------------------------------------------------------------------------------
# The models
# ---------------------------------------------------------------------------------------------


def llama(**more):
    return dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", attention_bias=False,
                mlp_bias=False, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=64,
                tie_word_embeddings=False, bos_token_id=1, eos_token_id=2) | more


def mistral(**more):
    return dict(architectures=["MistralForCausalLM"], model_type="mistral", hidden_act="silu", rms_norm_eps=1e-5,
                rope_theta=10000.0, max_position_embeddings=64, tie_word_embeddings=False, sliding_window=None,
                bos_token_id=1, eos_token_id=2) | more


def mixtral(**more):
    return mistral(architectures=["MixtralForCausalLM"], model_type="mixtral", router_aux_loss_coef=0.02,
                   rope_theta=1000000.0, output_router_logits=False) | more


def qwen2(**more):
    return dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", rms_norm_eps=1e-6,
                rope_theta=1000000.0, max_position_embeddings=64, tie_word_embeddings=False,
                use_sliding_window=False, sliding_window=64, max_window_layers=2, bos_token_id=0,
                eos_token_id=1) | more


def qwen3(**more):
    return dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", rms_norm_eps=1e-6,
                rope_theta=1000000.0, max_position_embeddings=64, tie_word_embeddings=False, attention_bias=False,
                use_sliding_window=False, sliding_window=None, max_window_layers=2, rope_scaling=None,
                bos_token_id=0, eos_token_id=1) | more


def gemma2(**more):
    return dict(architectures=["Gemma2ForCausalLM"], model_type="gemma2", hidden_act="gelu_pytorch_tanh",
                hidden_activation="gelu_pytorch_tanh", attention_bias=False, rms_norm_eps=1e-6, rope_theta=10000.0,
                max_position_embeddings=64, sliding_window=8, attn_logit_softcapping=50.0,
                final_logit_softcapping=30.0, bos_token_id=2, eos_token_id=1, pad_token_id=0) | more


def gemma3(**more):
    return dict(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh",
                attention_bias=False, rms_norm_eps=1e-6, rope_theta=1000000.0, rope_local_base_freq=10000.0,
                rope_scaling=None, max_position_embeddings=64, sliding_window=8, sliding_window_pattern=2,
                attn_logit_softcapping=None, final_logit_softcapping=None, bos_token_id=2, eos_token_id=1,
                pad_token_id=0) | more


def phi3(**more):
    return dict(architectures=["Phi3ForCausalLM"], model_type="phi3", hidden_act="silu", rms_norm_eps=1e-5,
                rope_theta=10000.0, max_position_embeddings=64, original_max_position_embeddings=64,
                rope_scaling=None, sliding_window=None, tie_word_embeddings=False, attention_bias=False,
                bos_token_id=1, eos_token_id=2, pad_token_id=0) | more


def gpt2(**more):
    return dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", activation_function="gelu_new",
                layer_norm_epsilon=1e-5, n_positions=64, n_ctx=64, bos_token_id=0, eos_token_id=0) | more


def bert(**more):
    return dict(architectures=["BertModel"], model_type="bert", hidden_act="gelu", layer_norm_eps=1e-12,
                max_position_embeddings=64, type_vocab_size=2, position_embedding_type="absolute",
                pad_token_id=0) | more


def sizes(hidden, inner, layers, heads, kv_heads, vocab, **more):
    return dict(hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                num_key_value_heads=kv_heads, vocab_size=vocab) | more


def sizes_gpt2(hidden, layers, heads, vocab, **more):
    return dict(n_embd=hidden, n_layer=layers, n_head=heads, vocab_size=vocab) | more


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
LONG = [1.0 + 0.37 * i for i in range(16)]
SHORT = [1.0 + 0.05 * i for i in range(16)]

# Name: configuration, stored type, options. Shapes differ on purpose: a transposed or confused size shows.
MODELS = {
    # Llama 2: every ratio of heads, every size of a head.
    "llama2-heads32": (llama(**sizes(128, 344, 2, 4, 4, 251)), "F32", {}),
    "llama2-heads64-gqa2": (llama(**sizes(256, 352, 2, 4, 2, 1003)), "F16", {}),
    "llama2-heads80-mqa": (llama(**sizes(160, 216, 3, 2, 1, 251)), "F32", {}),
    "llama2-heads128": (llama(**sizes(128, 200, 4, 2, 1, 251, head_dim=128)), "BF16", {}),
    "llama2-tied": (llama(**sizes(96, 152, 2, 3, 3, 509), tie_word_embeddings=True), "F16", {}),
    "llama2-theta-eps": (llama(**sizes(64, 88, 2, 2, 2, 251), rope_theta=100.0, rms_norm_eps=1e-3), "F32", {}),
    # Llama 3, with and without its rope scaling; once in the layout of transformers 5.
    "llama3-gqa4": (llama(**sizes(256, 320, 2, 8, 2, 1003), rope_theta=500000.0, rope_scaling=LLAMA3), "BF16", {}),
    "llama3-gqa8-tied": (llama(**sizes(192, 256, 2, 8, 1, 251, head_dim=64), rope_theta=500000.0,
                               rope_scaling=LLAMA3, tie_word_embeddings=True), "F16", {}),
    "llama3-layout5": (llama(**sizes(128, 176, 3, 4, 2, 251), rope_theta=500000.0, rope_scaling=LLAMA3), "F32",
                       {"layout5": True}),
    "llama-linear": (llama(**sizes(160, 208, 2, 2, 2, 251), rope_scaling={"type": "linear", "factor": 4.0}), "F32", {}),
    # Mistral: a window shorter than the text, and none.
    "mistral-window8": (mistral(**sizes(128, 224, 2, 4, 2, 251), sliding_window=8), "F16", {}),
    "mistral-window5-gqa8": (mistral(**sizes(256, 288, 3, 8, 1, 1003), sliding_window=5), "BF16", {}),
    "mistral-heads128": (mistral(**sizes(160, 176, 2, 4, 1, 251, head_dim=128)), "F32", {}),
    # Mixtral.
    "mixtral-4-experts": (mixtral(**sizes(128, 112, 2, 4, 2, 251), num_local_experts=4, num_experts_per_tok=2),
                          "F32", {}),
    "mixtral-8-experts": (mixtral(**sizes(64, 96, 3, 2, 1, 509), num_local_experts=8, num_experts_per_tok=2),
                          "BF16", {}),
    "mixtral-top1-window": (mixtral(**sizes(64, 72, 2, 2, 2, 251), num_local_experts=3, num_experts_per_tok=1,
                                    sliding_window=6), "F16", {}),
    # Qwen 2: biases of queries, keys and values.
    "qwen2-gqa2": (qwen2(**sizes(128, 184, 2, 4, 2, 251)), "BF16", {}),
    "qwen2-heads64-tied": (qwen2(**sizes(192, 240, 2, 3, 1, 1003), tie_word_embeddings=True), "F16", {}),
    "qwen2-heads128": (qwen2(**sizes(256, 264, 2, 2, 2, 251)), "F32", {}),
    # Qwen 3: norms of queries and keys.
    "qwen3-heads128-tied": (qwen3(**sizes(96, 136, 3, 4, 2, 251, head_dim=128), tie_word_embeddings=True), "BF16", {}),
    "qwen3-gqa8": (qwen3(**sizes(128, 192, 2, 8, 1, 509, head_dim=32)), "F32", {}),
    "qwen3-heads80": (qwen3(**sizes(160, 168, 2, 4, 1, 251, head_dim=80)), "F16", {}),
    # Gemma 2: softcaps, alternating windows, four norms a layer. A small cap bites.
    "gemma2-heads32": (gemma2(**sizes(128, 200, 4, 4, 2, 251, head_dim=32), query_pre_attn_scalar=32), "F32", {}),
    "gemma2-caps": (gemma2(**sizes(192, 232, 3, 4, 1, 509, head_dim=64), query_pre_attn_scalar=48, sliding_window=5,
                           attn_logit_softcapping=3.0, final_logit_softcapping=7.0), "BF16", {}),
    "gemma2-heads128": (gemma2(**sizes(128, 136, 2, 2, 2, 251, head_dim=128), query_pre_attn_scalar=144), "F16", {}),
    # Gemma 3: local and global rotary tables.
    "gemma3-pattern2": (gemma3(**sizes(128, 184, 4, 4, 2, 251, head_dim=32), query_pre_attn_scalar=32), "F32", {}),
    "gemma3-pattern6-linear": (gemma3(**sizes(64, 104, 6, 2, 1, 509, head_dim=64), query_pre_attn_scalar=64,
                                      sliding_window=6, sliding_window_pattern=6,
                                      rope_scaling={"rope_type": "linear", "factor": 8.0}), "BF16", {}),
    "gemma3-layout5": (gemma3(**sizes(128, 152, 3, 4, 1, 251, head_dim=80), query_pre_attn_scalar=100), "F16",
                       {"layout5": True}),
    # Phi-3: fused weights; long factors; a part of each head rotated.
    "phi3-gqa2": (phi3(**sizes(128, 168, 2, 4, 2, 251)), "BF16", {}),
    "phi3-window": (phi3(**sizes(192, 208, 2, 2, 2, 509, head_dim=96), sliding_window=7), "F32", {}),
    "phi3-longrope": (phi3(**sizes(128, 144, 2, 4, 4, 251), original_max_position_embeddings=16,
                           rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG}), "F16",
                      {"prompts": [(20, 12), (18, 6)]}),
    "phi3-longrope-short": (phi3(**sizes(128, 144, 2, 4, 4, 251), max_position_embeddings=32,
                                 original_max_position_embeddings=32,
                                 rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG}),
                            "F16", {"prompts": [(16, 12), (4, 6)]}),
    "phi3-partial": (phi3(**sizes(128, 152, 2, 2, 1, 251), partial_rotary_factor=0.75), "F32", {}),
    # GPT-2; once without the prefix of its names, as the first ones are published.
    "gpt2-heads32": (gpt2(**sizes_gpt2(128, 2, 4, 251)), "F32", {}),
    "gpt2-heads64": (gpt2(**sizes_gpt2(192, 3, 3, 1003)), "F16", {}),
    "gpt2-heads80-plain": (gpt2(**sizes_gpt2(160, 2, 2, 251, n_inner=200)), "BF16", {"strip": "transformer."}),
    # BERT.
    "bert-heads32": (bert(**sizes(128, 192, 2, 4, 4, 251)), "F32", {}),
    "bert-heads64": (bert(**sizes(192, 256, 3, 3, 3, 509)), "F16", {}),
    "bert-heads80": (bert(**sizes(160, 184, 2, 2, 2, 251), type_vocab_size=1, layer_norm_eps=1e-5), "BF16", {}),
}
for _name in ("bert-heads32", "bert-heads64", "bert-heads80"):
    MODELS[_name][0].pop("num_key_value_heads")

# ---------------------------------------------------------------------------------------------
# Running them in f64
# ---------------------------------------------------------------------------------------------


class NoF32(TorchDispatchMode):
    """Fails where an operation gives f32."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor) and t.dtype in (torch_f32, torch.float16, torch.bfloat16):
                raise RuntimeError(f"{func} computes in {t.dtype}")
        return out


torch_f32 = torch.float32


@contextlib.contextmanager
def f64_everywhere():
    """What transformers casts to f32 is cast to f64 instead; no operation may give less."""
    saved = torch.float, torch.float32, torch.Tensor.float
    torch.float = torch.float32 = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), NoF32():
            yield
    finally:
        torch.float, torch.float32, torch.Tensor.float = saved
        torch.set_default_dtype(torch_f32)


def instantiate(config, checkpoint):
    """The model with the weights of `checkpoint` (a state dict in the file's names) in f64."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_torch(checkpoint, folder / "model.safetensors")
        kind = AutoModel if config["model_type"] == "bert" else AutoModelForCausalLM
        more = {"add_pooling_layer": False} if config["model_type"] == "bert" else {}
        model, info = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager",
                                           output_loading_info=True, **more)
    wrong = {k: v for k, v in info.items() if v}
    if wrong:
        raise RuntimeError(f"the checkpoint does not fit: {wrong}")
    model.eval()
    # Tables were made in f32 when the model was; they are made again.
    with f64_everywhere():
        for module in model.modules():
            if hasattr(module, "rope_type") or hasattr(module, "original_inv_freq"):
                module.__init__(model.config)
            if hasattr(module, "embed_scale"):
                scale = torch.tensor(module.scalar_embed_scale, dtype=torch.float64)
                module.register_buffer("embed_scale", scale, persistent=False)
    return model


def save_torch(tensors, path):
    from safetensors.torch import save_file as save
    save({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})


def layout_of(config, options):
    """Names and shapes as transformers saves such a model."""
    cls = getattr(transformers, config["architectures"][0])
    loaded = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    more = {"add_pooling_layer": False} if config["model_type"] == "bert" else {}
    with tempfile.TemporaryDirectory() as folder:
        cls(loaded, **more).save_pretrained(folder)
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}
        if options.get("layout5"):
            config = json.loads((Path(folder) / "config.json").read_text())
    strip = options.get("strip", "")
    return config, {name.removeprefix(strip): shape for name, shape in sorted(shapes.items())}


def longest_sum(config):
    """The most terms that a linear layer, or attention over a text, adds up."""
    hidden = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    inner = config.get("intermediate_size", config.get("n_inner") or 4 * hidden)
    return max(hidden, inner, heads * (config.get("head_dim") or hidden // heads))


def final_norm(model, kind):
    """The weight of the norm before the output projection."""
    if kind == "gpt2":
        return model.transformer.ln_f.weight
    weight = model.model.norm.weight
    return weight + 1 if kind in ("gemma2", "gemma3_text") else weight


def router_margin(model, kind, run):
    """Smallest distance of the last chosen and the first other expert over a run; rounding far below it
    cannot change the choice."""
    margins, hooks = [], []
    k = getattr(model.config, "num_experts_per_tok", 0)

    def hook(_module, args, _out, weight=None):
        logits = args[0].reshape(-1, args[0].shape[-1]) @ weight.T
        top = logits.sort(-1, descending=True).values
        margins.append((top[:, k - 1] - top[:, k]).min().item())

    if kind == "mixtral":
        for layer in model.model.layers:
            gate = layer.mlp.gate
            hooks.append(gate.register_forward_hook(
                lambda m, a, o, w=gate.weight: hook(m, a, o, weight=w)))
    out = run()
    for h in hooks:
        h.remove()
    return out, min(margins, default=None)


def decoder_goldens(name, config, model, options):
    """Texts of random tokens, continued greedily, with logits after some tokens."""
    kind, vocab = config["model_type"], config["vocab_size"]
    rng = np.random.default_rng(fnv1a(name))
    records, tensors, layers = [], {}, model.config.num_hidden_layers
    with f64_everywhere():
        for i, (length, more) in enumerate(options.get("prompts", [(21, 12), (3, 6)])):
            tokens = rng.integers(0, vocab, length).tolist()
            gaps, margin = [], None
            for step in range(more + 1):
                ids = torch.tensor([tokens])
                out, margin = router_margin(model, kind, lambda: model(ids, output_hidden_states=True, use_cache=False))
                if step == more:
                    break
                top = out.logits[0, -1].topk(2)
                gaps.append((top.values[0] - top.values[1]).item())
                tokens.append(top.indices[0].item())
            # Three quarters of a kilobyte a row: all positions of a small vocabulary, some of a large one.
            stride = max(1, round(vocab / 400) * (2 if i == 0 else 1)) if vocab > 300 else (1 if i else 2)
            positions = sorted(set(range(0, len(tokens), stride)) | {length - 1, len(tokens) - 2, len(tokens) - 1})
            # The last hidden state of these models is after the final norm.
            hidden = out.hidden_states[-1][0]
            states = [length - 1, len(tokens) - 1]
            tensors[f"{i}.logits"] = out.logits[0, positions].numpy().astype(np.float32)
            tensors[f"{i}.hidden"] = hidden[states].numpy().astype(np.float32)
            head = model.get_output_embeddings()
            again = head(hidden)
            cap = getattr(model.config, "final_logit_softcapping", None)
            again = torch.tanh(again / cap) * cap if cap else again
            assert torch.allclose(again, out.logits[0], rtol=1e-12, atol=1e-12), "the last hidden state is another"
            record = dict(tokens=tokens, prompt=length, min_top2_gap=min(gaps), positions=positions, hidden=states)
            if margin is not None:
                assert margin > 1e-4, f"{name}: two experts nearly tie ({margin})"
                record["router_margin"] = margin
            records.append(record)
        rows = torch.linalg.vector_norm(head.weight * final_norm(model, kind), dim=1)
    tensors["row_norms"] = rows.detach().numpy().astype(np.float32)
    return dict(layers=layers, longest_sum=longest_sum(config), hidden=model.config.hidden_size, vocab=vocab,
                texts=records), tensors


def encoder_goldens(name, config, model, _options):
    """Hidden states of a padded batch, and the mean over each text, normalised."""
    rng = np.random.default_rng(fnv1a(name))
    lengths = [17, 1, 9, 5]
    texts = [rng.integers(1, config["vocab_size"], n).tolist() for n in lengths]
    ids = torch.tensor([t + [0] * (max(lengths) - len(t)) for t in texts])
    mask = torch.tensor([[1] * n + [0] * (max(lengths) - n) for n in lengths])
    with f64_everywhere():
        hidden = model(ids, attention_mask=mask).last_hidden_state
        records, tensors = [], {}
        for i, text in enumerate(texts):
            states = hidden[i, : len(text)]
            mean = states.mean(0)
            tensors[f"{i}.hidden"] = states.numpy().astype(np.float32)
            tensors[f"{i}.embedding"] = (mean / torch.linalg.vector_norm(mean)).numpy().astype(np.float32)
            records.append(dict(tokens=text))
        norm = model.encoder.layer[-1].output.LayerNorm.weight
    tensors["norm"] = norm.detach().numpy().astype(np.float32)
    return dict(layers=config["num_hidden_layers"], longest_sum=longest_sum(config), hidden=config["hidden_size"],
                vocab=config["vocab_size"], texts=records), tensors


def dump(value):
    """JSON with a line for each tensor and text."""
    lines = json.dumps(value, indent=1)
    for key in ("tensors", "texts"):
        if key in value:
            rest = {k: v for k, v in value.items() if k != key}
            rows = ",\n  ".join(json.dumps(v) for v in value[key])
            lines = json.dumps(rest, indent=1)[:-2] + f',\n "{key}": [\n  {rows}\n ]\n}}'
    return lines + "\n"


def write(name):
    config, dtype, options = MODELS[name]
    kind = config["model_type"]
    full, shapes = layout_of(config, options)
    tensors = []
    for tensor, shape in shapes.items():
        offset, scale = distribution(tensor, shape, kind)
        tensors.append(dict(name=tensor, shape=shape, dtype=dtype, offset=offset, scale=scale))
    checkpoint = {t["name"]: weights_of(name, t) for t in tensors}
    digest = hashlib.sha256(b"".join(raw_bytes(t) for t in checkpoint.values())).hexdigest()
    model = instantiate(full, checkpoint)
    goldens = encoder_goldens if kind == "bert" else decoder_goldens
    record, arrays = goldens(name, config, model, options)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(full, indent=2) + "\n")
    (folder / "tensors.json").write_text(dump(dict(sha256=digest, tensors=tensors)))
    (folder / "goldens.json").write_text(dump(record))
    save_file(arrays, folder / "goldens.safetensors")
    gap = min((t.get("min_top2_gap", math.inf) for t in record["texts"]), default=math.inf)
    size = sum(f.stat().st_size for f in folder.iterdir())
    logits = arrays.get("0.logits")
    spread = float(logits.std()) if logits is not None else float(arrays["0.hidden"].std())
    print(f"{name}: {size // 1024} KiB, smallest gap {gap:.4f}, spread {spread:.2f}", flush=True)


def main():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or MODELS:
        write(name)


if __name__ == "__main__":
    main()
