#!/usr/bin/env python3
"""Write small models for embedding with sentence-transformers, and the vectors that it computes.

Why this exists: a vector depends on more than the network: on the prompt before the text and whether
pooling counts it, on the length at which a text is cut, on lower case, on what the tokenizer appends.
Four files beside the weights say that, and what they say is compared here with the package that wrote
them, on two models with random weights: a BERT (mean, a default prompt that does not count, lower case)
and a Qwen 3 decoder as models for embedding are published (last token, a token appended to each text, no
output projection).

  crates/models/tests/sentences/{bert,qwen3}   the models, as sentence-transformers saved them
  crates/models/tests/sentences/*.json         vectors by case

How to run it (a minute):

    venv/bin/pip install -r scripts/requirements.txt sentence-transformers==6.2.0
    venv/bin/python scripts/sentence_goldens.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

OUT = Path(__file__).parent.parent / "crates/models/tests/sentences"

TEXTS = [
    "A cat sleeps on the warm sill.",
    "THE KITTEN naps by the window, Émile!",
    "What is a token?",
    "Yes",
    "",
    " ".join(f"Sentence {i} of a long text says little." for i in range(12)),
]

CORPUS = TEXTS * 4 + ["query: ", "passage: ", "Instruct: find what answers the question.\nQuery: "]

# Name of a prompt or its text; what is absent is left to the model.
CASES = [
    {},
    {"prompt_name": "query"},
    {"prompt_name": "document"},
    {"prompt_name": "passage"},
    {"prompt": "Instruct: find what answers the question.\nQuery: "},
    {"prompt": ""},
    {"prompt": "a prompt that is so long that it fills the whole text and leaves nothing of it " * 3},
]


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    # Cased: what is lower case comes from `do_lower_case` of the saved files alone.
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS + [text.lower() for text in CORPUS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def random(model):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name.lower() and "weight" in name
            values = torch.rand(parameter.shape, generator=generator) * 2 - 1
            parameter.copy_(1 + 0.5 * values if norm else 0.5 * values)
    return model


def bert(tokenizer):
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, intermediate_size=40, num_hidden_layers=1,
        num_attention_heads=3, max_position_embeddings=48,
    )
    return random(BertModel(config, add_pooling_layer=False))


def qwen3(tokenizer):
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, tie_word_embeddings=True,
        eos_token_id=1, bos_token_id=0,
    )
    return random(Qwen3Model(config))


def make(name, tokenizer, network, limits, pooling, modules, prompts, default):
    """Saves the model; loads it again as a user would, and embeds."""
    with tempfile.TemporaryDirectory() as plain:
        network.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        first = Transformer(plain)
    pool = Pooling(network.config.hidden_size, **pooling)
    made = SentenceTransformer(modules=[first, pool, *modules], prompts=prompts, default_prompt_name=default)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    made.save_pretrained(str(folder), create_model_card=False)
    for unread in ["README.md", "2_Normalize"]:
        path = folder / unread
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    # Limits as versions up to 5 wrote them; newer ones leave them to the tokenizer.
    if limits:
        (folder / "sentence_bert_config.json").write_text(json.dumps(limits) + "\n")
    model = SentenceTransformer(str(folder), device="cpu")
    cases = []
    for case in CASES:
        if case.get("prompt_name") == "passage" and "passage" not in prompts:
            continue
        # One text at a time: padding is not what is compared.
        vectors = [model.encode([text], **case)[0].tolist() for text in TEXTS]
        cases.append(dict(case, embeddings=[[float(f"{x:.8g}") for x in vector] for vector in vectors]))
    versions = {package.__name__: package.__version__ for package in (sentence_transformers, transformers)}
    golden = dict(versions=versions, max_tokens=model.max_seq_length, texts=TEXTS, cases=cases)
    (OUT / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
    print(name, model.max_seq_length, [len(model.tokenizer(text)["input_ids"]) for text in TEXTS])


def main():
    transformers.logging.set_verbosity_error()
    OUT.mkdir(parents=True, exist_ok=True)
    cased = wordpiece()
    make(
        "bert", cased, bert(cased), dict(max_seq_length=32, do_lower_case=True),
        dict(pooling_mode="mean", include_prompt=False), [],
        {"query": "query: ", "passage": "passage: "}, "passage",
    )
    bytes_ = byte_level()
    bytes_.model_max_length = 96
    make(
        "qwen3", bytes_, qwen3(bytes_), {}, dict(pooling_mode="lasttoken"), [Normalize()],
        {"query": "Instruct: find what answers the question.\nQuery:"}, None,
    )


if __name__ == "__main__":
    main()
