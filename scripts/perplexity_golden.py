#!/usr/bin/env python3
"""Write the golden perplexity of the embedded model from an independent implementation.

Why this exists: a perplexity can be wrong in quiet ways (a token scored twice, a window without
its context, a sum that loses digits) and still look like one. Here transformers computes every
log-likelihood in f64, window by window, each from the beginning and without a cache; a test of the
command line compares `unisono perplexity --json` with it.

  crates/cli/tests/perplexity/golden.json   mean negative log-likelihood and its standard error

How to run it (seconds):

    python3 -m venv venv && venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/perplexity_golden.py
"""

import json
import math
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "crates" / "models" / "assets" / "tiny-llama"
TEXT = ROOT / "crates" / "cli" / "tests" / "perplexity" / "text.txt"
OUT = TEXT.parent / "golden.json"

# Tokens of a window, and by how many windows advance.
WINDOWS = [(512, 256), (128, 64), (100, 37), (16, 15)]


def scores(model, tokens, window, stride):
    """The negative log-likelihood of every token but the first, from the window that scores it:
    the first window, beginning at a multiple of the stride, that contains it."""
    found = [None] * len(tokens)
    for begin in range(0, len(tokens), stride):
        part = tokens[begin:begin + window]
        with torch.no_grad():
            logits = model(torch.tensor([part])).logits[0]
        likely = torch.log_softmax(logits.to(torch.float64), dim=-1)
        for i in range(1, len(part)):
            if found[begin + i] is None:
                found[begin + i] = -likely[i - 1, part[i]].item()
    assert None not in found[1:]
    return found[1:]


def main():
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokens = tokenizer.encode(TEXT.read_text(encoding="utf-8")).ids
    model = transformers.AutoModelForCausalLM.from_pretrained(
        MODEL, dtype=torch.float64, attn_implementation="eager").eval()
    runs = []
    for window, stride in WINDOWS:
        nll = scores(model, tokens, window, stride)
        n = len(nll)
        mean = math.fsum(nll) / n
        error = math.sqrt(math.fsum((x - mean) ** 2 for x in nll) / (n - 1) / n)
        runs.append({"window": window, "stride": stride, "scored": n, "mean": mean, "mean_error": error})
    golden = {
        "made_by": f"scripts/perplexity_golden.py with transformers {transformers.__version__}, f64",
        "tokens": len(tokens),
        "runs": runs,
    }
    OUT.write_text(json.dumps(golden, indent=2) + "\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
