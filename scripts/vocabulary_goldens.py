#!/usr/bin/env python3
"""Write golden results of a model whose embedding table no single binding of many devices can hold.

Why this exists: WebGPU binds 128 MiB of a buffer by default, and so do software adapters; the table of
today's vocabularies is larger. `tests/vocabulary.rs` runs this model: 128,256 tokens of width 1,024 in
f16, 262 MB, used as embedding and as output projection.

The table is cut from 2^21 numbers of the rule of `model_goldens.py` for "vocabulary/table": row `v`
begins at number `(7919 v) mod (2^21 - 1024)`. All other tensors follow the rule itself.

  tests/models/vocabulary/config.json, tensors.json    as in model_goldens.py, without the table
  tests/models/vocabulary/goldens.json                 tokens, best tokens, the rows that are compared
  tests/models/vocabulary/goldens.safetensors          logits of those rows

How to run it (a minute, 4 GB of memory):

    venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/vocabulary_goldens.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import model_goldens as mg

OUT = mg.OUT.parent / "vocabulary"
NAME = "vocabulary"
VOCAB, HIDDEN, NUMBERS, STEP = 128256, 1024, 1 << 21, 7919
TABLE = "model.embed_tokens.weight"


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = mg.llama(**mg.sizes(HIDDEN, 512, 2, 8, 2, VOCAB), tie_word_embeddings=True, rope_theta=500000.0)
    _, shapes = mg.layout_of(config, {})
    tensors, checkpoint = [], {}
    for name, shape in shapes.items():
        offset, scale = mg.distribution(name, shape, "llama")
        tensor = dict(name=name, shape=shape, dtype="F16", offset=offset, scale=scale)
        if name == TABLE:
            source = mg.weights_of(NAME, dict(tensor, name="table", shape=[NUMBERS]))
            starts = (torch.arange(VOCAB) * STEP) % (NUMBERS - HIDDEN)
            checkpoint[name] = source.unfold(0, HIDDEN, 1)[starts]
        else:
            checkpoint[name] = mg.weights_of(NAME, tensor)
        tensors.append(tensor)
    digest = hashlib.sha256(b"".join(mg.raw_bytes(t) for t in checkpoint.values())).hexdigest()
    model = mg.instantiate(config, checkpoint)
    tokens = [1, 128255, 65535, 65536, 131, 99999, 70000, 2, 64000]
    limit = (128 << 20) // (2 * HIDDEN)
    rows = sorted(set(range(0, VOCAB, 1009)) | set(range(limit - 8, limit + 8)) | set(range(VOCAB - 8, VOCAB)))
    with mg.f64_everywhere():
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        top = logits.topk(2)
        table = model.get_input_embeddings().weight[rows]
        norms = torch.linalg.vector_norm(table * model.model.norm.weight, dim=1)
    gap = (top.values[:, 0] - top.values[:, 1]).min().item()
    record = dict(layers=2, longest_sum=HIDDEN, hidden=HIDDEN, vocab=VOCAB, rows=rows,
                  texts=[dict(tokens=tokens, best=top.indices[:, 0].tolist(), min_top2_gap=gap)])
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (OUT / "tensors.json").write_text(mg.dump(dict(sha256=digest, tensors=tensors)))
    (OUT / "goldens.json").write_text(json.dumps(record) + "\n")
    arrays = dict(logits=logits[:, rows].numpy().astype(np.float32), row_norms=norms.detach().numpy().astype(np.float32))
    save_file(arrays, OUT / "goldens.safetensors")
    print(f"{len(rows)} rows, smallest gap {gap:.4f}, best {record['texts'][0]['best']}")


if __name__ == "__main__":
    main()
