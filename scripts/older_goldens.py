#!/usr/bin/env python3
"""Write the tokens of checkpoints that have `vocab.json` and `merges.txt` and no `tokenizer.json`.

Why this exists: no file of such a checkpoint says how text is cut into words; transformers knows it by
the class. The vocabulary is trained here, and transformers reads the folder.

  crates/models/tests/tokenizers/older.json   files, and for each configuration the tokens of texts

How to run it (some seconds):

    venv/bin/pip install regex==2026.11.15 sentencepiece==0.2.3 protobuf==7.36.2 tokenizers==0.23.3 transformers==5.23.0
    venv/bin/python scripts/older_goldens.py
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import tokenizers
import transformers

import tokenizer_goldens as tg

TEXTS = [t for t in tg.BY_HAND if "\U0010fffd" not in t] + [
    "the fox<|endoftext|> a", "<|im_start|>user\nthe fox<|im_end|>\n", "a <tool> b", "  the<q>fox", "<b>the <z>  <p> fox", "née<|endoftext|>née",
]


def token(content, special=True, **flags):
    return {"content": content, "special": special, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False, **flags}


CASES = [
    ("gpt2", None, {}),
    ("gpt2", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}, {}),
    ("gpt2", {"tokenizer_class": "GPT2TokenizerFast", "add_bos_token": True, "add_eos_token": True}, {}),
    ("gpt2", {"unk_token": None, "bos_token": None, "eos_token": "<q>", "additional_special_tokens": ["<z>"]}, {}),
    ("gpt2", {"pad_token": {"__type": "AddedToken", **token("<p>", lstrip=True)}, "bos_token": "<b>", "add_bos_token": True}, {}),
    ("gpt2", {}, {"special_tokens_map.json": {"eos_token": "<q>"}, "added_tokens.json": {"<q>": 400, "<z>": 401}}),
    ("llama", {"tokenizer_class": "GPT2Tokenizer"}, {}),
    ("qwen2", None, {}),
    ("qwen3", None, {}),
    (
        "qwen2",
        {
            "tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
            "added_tokens_decoder": {
                "400": token("<|endoftext|>"), "401": token("<|im_start|>"), "402": token("<|im_end|>"),
                "403": token("<tool>", special=False),
            },
        },
        {},
    ),
    ("qwen2", {"add_prefix_space": True, "bos_token": "<b>", "add_bos_token": True, "extra_special_tokens": {"x": "<z>"}}, {}),
]


def main():
    vocab, merges = tg.train_byte_level(tg.pre_tokenizer([tg.GPT2]), 400)
    merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    cases = []
    for model, config, files in CASES:
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "vocab.json").write_text(json.dumps(vocab))
            (folder / "merges.txt").write_text(merges)
            (folder / "config.json").write_text(json.dumps({"model_type": model}))
            if config is not None:
                (folder / "tokenizer_config.json").write_text(json.dumps(config))
            for file, content in files.items():
                (folder / file).write_text(json.dumps(content))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            ids = [tokenizer(t, add_special_tokens=False).input_ids for t in TEXTS]
            cases.append({
                "model_type": model, "tokenizer_config": config, "files": files, "size": len(tokenizer), "ids": ids,
                "around": tokenizer("the fox").input_ids,
                "decoded": [tokenizer.decode(i, skip_special_tokens=True, clean_up_tokenization_spaces=False) for i in ids],
            })
    made_with = f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"
    tg.write(tg.OUT / "older.json", {"made_with": made_with, "vocab": vocab, "merges": merges, "texts": TEXTS, "cases": cases})


if __name__ == "__main__":
    main()
