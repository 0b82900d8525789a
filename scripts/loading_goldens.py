#!/usr/bin/env python3
"""Write small checkpoints that say something twice, wrongly or not at all, and what transformers makes
of them.

Why this exists: which of two tensors, files or fields counts is decided by the loader, and a model
that is loaded otherwise computes something else without a word. Each case is a directory as people
have them, and the logits of a text after transformers loaded it. The weights are random.

  crates/models/tests/loading/CASE/     a checkpoint
  crates/models/tests/loading/goldens.json   tokens, and logits after the last of them, by case

How to run it (a minute):

    venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/loading_goldens.py
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).parent.parent / "crates/models/tests/loading"
TOKENS = [3, 17, 0, 25, 9]
INDEX = "model.safetensors.index.json"


def random(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.rand(parameter.shape, generator=generator) * 2 - 1
            parameter.copy_(1 + 0.5 * values if "norm" in name or "ln_" in name else values)
    return model


def llama(seed=1, **fields):
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, eos_token_id=2, bos_token_id=1, **fields,
    )
    return random(LlamaForCausalLM(config), seed)


def gpt2():
    # Its default `bos_token_id` and `eos_token_id` are 50256.
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    return random(GPT2LMHeadModel(config), 2)


def save(case, model, changes=None, without=(), tensors=None):
    """A checkpoint with fields of its configuration and its tensors changed."""
    folder = OUT / case
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text()) | (changes or {})
    for name in without:
        del config[name]
    # Python writes NaN and Infinity.
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = tensors(state) if tensors else state
    if config.get("tie_word_embeddings") and tensors is None:
        state.pop("lm_head.weight")
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def other_head(state):
    return state | {"lm_head.weight": state["lm_head.weight"].flip(0).contiguous()}


def only_head(state):
    return {name: tensor for name, tensor in state.items() if name != "model.embed_tokens.weight"}


def shards(folder, files, weight_map):
    """Replaces the single file by several with an index."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    for name, state in files.items():
        save_file({k: v.clone() for k, v in state.items()}, folder / name, {"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}) + "\n")


def main():
    transformers.logging.set_verbosity_error()
    OUT.mkdir(parents=True, exist_ok=True)
    save("tied", llama(tie_word_embeddings=True))
    save("tied-same-head", llama(tie_word_embeddings=True), tensors=lambda state: state)
    save("tied-other-head", llama(tie_word_embeddings=True), tensors=other_head)
    save("tied-only-head", llama(tie_word_embeddings=True), tensors=only_head)
    save("gpt2-tied-other-head", gpt2(), tensors=other_head)
    save("special-tokens-outside", gpt2())
    save("special-token-negative", llama(), dict(eos_token_id=[2, -1], bos_token_id=-1))
    odd = dict(router_z_loss_coef=float("nan"), time_step_limit=[0.0, float("inf")], least=float("-inf"))
    save("not-finite", llama(), odd)
    save("no-context", llama(), without=["max_position_embeddings"])
    save("long-context", llama(), dict(max_position_embeddings=10_485_760))

    # A single file, and an index of an older model beside it.
    first, second = llama(seed=1), llama(seed=5)
    folder = save("single-and-index", first)
    single = (folder / "model.safetensors").read_bytes()
    shards(folder, {"old.safetensors": second.state_dict()}, {name: "old.safetensors" for name in second.state_dict()})
    (folder / "model.safetensors").write_bytes(single)

    # A base, and one tensor of it replaced in a shard of its own.
    name = "model.layers.0.mlp.down_proj.weight"
    weight_map = {n: "model-base.safetensors" for n in first.state_dict()} | {name: "model-overlay.safetensors"}
    files = {"model-base.safetensors": first.state_dict(), "model-overlay.safetensors": {name: second.state_dict()[name]}}
    shards(save("overlay", first), files, weight_map)

    goldens = {}
    for folder in sorted(path for path in OUT.iterdir() if path.is_dir()):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS])).logits[0, -1]
        goldens[folder.name] = [float(f"{z:.8g}") for z in logits.tolist()]
    text = ",\n  ".join(f"{json.dumps(case)}: {json.dumps(logits)}" for case, logits in goldens.items())
    head = f'"transformers": "{transformers.__version__}",\n "tokens": {TOKENS}'
    (OUT / "goldens.json").write_text(f'{{\n {head},\n "logits": {{\n  {text}\n }}\n}}\n')
    print(", ".join(f"{case}: {logits[0]:.4f}" for case, logits in goldens.items()))


if __name__ == "__main__":
    main()
