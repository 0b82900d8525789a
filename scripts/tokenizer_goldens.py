#!/usr/bin/env python3
"""Write the golden tokens of small vocabularies from independent implementations.

Why this exists: a tokenizer that is wrong in one text of a thousand still writes text, and only the
answers get worse. The vocabularies here are as GGUF metadata states them; the tokens come from

  * a byte-level BPE of thirty lines below, with the package `regex` for the patterns, which the
    package `tokenizers` must agree with,
  * Google's `sentencepiece` (BPE with and without bytes, unigram),
  * transformers' `BertTokenizerLegacy`, which is pure Python.

  crates/models/tests/tokenizers/texts.json   texts by hand, then random ones
  crates/models/tests/tokenizers/NAME.json    a vocabulary, the tokens of each text as plain text,
                                              texts with special tokens, tokens to decode
  crates/models/tests/tokenizers/wordpiece-flags.json   one vocabulary, read with each choice of two flags

How to run it (some seconds):

    python3 -m venv venv
    venv/bin/pip install regex==2026.11.15 sentencepiece==0.2.3 protobuf==7.36.2 tokenizers==0.23.3 transformers==5.23.0
    venv/bin/python scripts/tokenizer_goldens.py [--random 200] [--nfkc] [--out DIR]
"""

import argparse
import io
import json
import random
import unicodedata
from pathlib import Path

import regex
import sentencepiece as spm
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

OUT = Path(__file__).resolve().parent.parent / "crates" / "models" / "tests" / "tokenizers"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

CORPUS = """
The quick brown fox jumps over the lazy dog, and the dog doesn't mind: it's used to foxes.
In 1969 people walked on the moon; in 2024 they were still talking about it. That's 55 years.
Tokens are numbers. Numbers like 3.14159, 1,000,000 and 0xFF are cut in many ways.
She said: "I'll be there at 10:30, won't you?" They've been waiting since we're always late.
fn main() {\n    let x = vec![1, 2, 3];\n    for i in 0..x.len() {\n        println!("{}", x[i]);\n    }\n}
def f(a, b=None):\n\tif b is None:\n\t\treturn a\n\treturn a + b  # the sum
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Übung, Maß.
Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.
Съешь же ещё этих мягких французских булок да выпей чаю.
東京は日本の首都です。 人口は約千四百万人。 こんにちは世界。
中文的分词没有空格。 我们在北京见面。
שלום עולם, מה שלומך היום? السلام عليكم ورحمة الله
안녕하세요 세계. 오늘은 날씨가 좋습니다.
Emoji: 🦊 👩‍👩‍👧‍👦 🏳️‍🌈 ❤️ 👍🏽 and so on.
The tokens of the text are the text of the tokens, and the model of the words is a word of the model.
"""

BY_HAND = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "a", " a", "a ", "  a", "a  ",
    "   leading and trailing   ", "a  b   c    d", "a\n\nb", "a \n b", "\n\n  \n\n", "tab\tand\ttab\n", " \t \n \r ",
    "Hello, world!", "hello", " hello", "HELLO", "It's we'll I'M YOU'RE they'Ve", "don't stop'll", "'s", "''s", "can’t",
    "1", "12", "123", "1234", "12345678901", "3.14159", "1,000,000", "-1e-10", "0xDEADBEEF", "٣٤٥", "½²Ⅷ", "10:30",
    "x=1;y=x+2;//z", "if (a[i] != b->c) { return a ? b : c; }", "    indented\n        more\n", "<html>&amp;</html>",
    "snake_case camelCase PascalCase SCREAMING_CASE", "a.b.c/d\\e", "...", "!!!???", "#$%^&*()_+-={}[]|\\:;\"'<>,.?/~`",
    "naïve café", "nai\u0308ve cafe\u0301", "Größe ÜBUNG ß ẞ", "İstanbul ıI", "ﬁ ﬂ ™ Å Å", "e\u0301\u0302\u0303", "\u0301", " \u0301x",
    "東京", "東京は日本の首都です。", "中文的分词", "안녕하세요", "日本語とEnglishの混ざった文123", "ｆｕｌｌｗｉｄｔｈ", "ｱｲｳ",
    "שלום עולם", "السلام عليكم", "مرحبا 123 hello", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Привет, мир!", "Ξεσκεπάζω",
    "🦊", "🦊🦊", "👩‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "👍🏽", "🇩🇪🇫🇷", "a🦊b", "1️⃣", "🦊 fox",
    "\u200b", "\u200d", "\ufeffbom", "\u202eRTL\u202c", "a\u0000b", "\u0001\u001f\u007f", "\ufffd", "the\u0301 the\u0301\u0302 then", "née", "fiancée née X", "\U0010fffd", "\u2581", "a\u2581b", "\u2581 \u2581",
    "Ġ", "Ċ", "<0x0A>", "##ing", "<s>", "</s>", "<|endoftext|>", "<|im_start|>user", "[CLS] [SEP]", "<unk>", "<tool>", "<too", "x<tool>y",
    "the token of the tokens", "The quick brown fox", " the the the", "supercalifragilisticexpialidocious",
]


def random_texts(count):
    """Strings of characters of many kinds, most of them short runs of one kind."""
    rng = random.Random(20261123)
    words = CORPUS.split()
    kinds = [
        "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJ", "0123456789", " ", " \n\t\r", ".,;:!?'\"-_/\\()[]{}<>|@#$%&*+=~`^",
        "東京日本語中文北世界人口", "あいうえおカキクケコー", "안녕하세요", "абвгдеёж", "αβγδεςσ", "שלוםע", "مرحباس", "नमस्ते",
        "\u0300\u0301\u0308\u0327\u20dd", "🦊👩👧🏳❤👍😀", "\u200d\ufe0f\u200b", "éüßñçİı", "①²½Ⅷ٣", "\u00a0\u2003\u3000\u2581",
    ]
    assigned = [chr(c) for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    texts = []
    while len(texts) < count:
        text = ""
        for _ in range(rng.randint(1, 5)):
            which = rng.random()
            if which < 0.25:
                text += rng.choice(["", " "]) + rng.choice(words)
            elif which < 0.35:
                text += "".join(rng.choice(assigned) for _ in range(rng.randint(1, 3)))
            else:
                kind = rng.choice(kinds)
                text += "".join(rng.choice(kind) for _ in range(rng.randint(1, 4)))
        texts.append(text)
    return texts


# --- Byte-level BPE ---------------------------------------------------------------------------

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + TAIL
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + TAIL
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}" + SLASH
GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}|\p{{N}}{{1,3}}" + SLASH
)
DEEPSEEK3 = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
]
# Published as the steps `Punctuation(contiguous)`, `ByteLevel` with its pattern, `Digits`, and a
# split of three digits. The last two see byte letters.
FALCON = [r"[\p{P}$+<=>^`|~]+", GPT2]
FALCON_BYTES = [r"\p{N}+", r"[0-9][0-9][0-9]"]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}"]


def letters():
    """The letter of each byte in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


LETTER = letters()
BYTE_OF = {letter: byte for byte, letter in LETTER.items()}


class ByteLevel:
    """Byte-level BPE as its papers and GPT-2's encoder describe it."""

    def __init__(self, vocab, merges, patterns, ignore_merges, nfc, added, after=()):
        self.vocab, self.ranks = vocab, {pair: i for i, pair in enumerate(merges)}
        self.patterns = [regex.compile(p) for p in patterns]
        self.after = [regex.compile(p) for p in after]
        self.ignore_merges, self.nfc, self.added = ignore_merges, nfc, added

    def words(self, text):
        """The words of a text, in byte letters."""
        words = self.cut([text], self.patterns)
        return self.cut(["".join(LETTER[b] for b in word.encode()) for word in words], self.after)

    def cut(self, words, patterns):
        for pattern in patterns:
            cut = []
            for word in words:
                end = 0
                for match in pattern.finditer(word):
                    cut += [word[end : match.start()], match.group()]
                    end = match.end()
                cut.append(word[end:])
            words = [w for w in cut if w]
        return words

    def word(self, word):
        symbols = list(word)
        if self.ignore_merges and word in self.vocab:
            return [self.vocab[word]]
        while len(symbols) > 1:
            rank, i = min((self.ranks.get(p, len(self.ranks)), i) for i, p in enumerate(zip(symbols, symbols[1:])))
            if rank == len(self.ranks):
                break
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        return [self.vocab[s] for s in symbols]

    def encode(self, text, kinds):
        """Added tokens of `kinds` are found first, the longest from the left."""
        found = sorted((t for t, kind in self.added.items() if kind in kinds), key=len, reverse=True)
        parts = regex.split("(" + "|".join(map(regex.escape, found)) + ")", text) if found else [text]
        ids = []
        for i, part in enumerate(parts):
            if i % 2:
                ids.append(self.vocab[part])
            else:
                part = unicodedata.normalize("NFC", part) if self.nfc else part
                ids += [id for word in self.words(part) for id in self.word(word)]
        return ids

    def decode(self, ids):
        text = {id: token for token, id in self.vocab.items()}
        parts = [
            b"" if self.added.get(text[i]) == CONTROL
            else text[i].encode() if text[i] in self.added
            else bytes(BYTE_OF[c] for c in text[i])
            for i in ids
        ]
        return b"".join(parts).decode("utf-8", "replace")


def train_byte_level(published, size):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = published
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(LETTER.values()), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def pre_tokenizer(patterns):
    splits = [pre_tokenizers.Split(tokenizers.Regex(p), behavior="isolated") for p in patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def falcon():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(tokenizers.Regex("[0-9][0-9][0-9]"), behavior="isolated"),
    ])


def deepseek_coder():
    splits = [pre_tokenizers.Split(tokenizers.Regex(p), behavior="isolated") for p in DEEPSEEK_CODER[:-1]]
    return pre_tokenizers.Sequence([
        *splits, pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def byte_level(
    texts, name, pre, patterns, added, size=500, ignore_merges=False, nfc=False, extra=(), after=(), published=None
):
    """`published`: the steps that models are published with, where they are no list of patterns."""
    published = published or pre_tokenizer(patterns)
    vocab, merges = train_byte_level(published, size)
    for token in [*extra, *added]:
        vocab[token] = len(vocab)
    mine = ByteLevel(vocab, merges, patterns, ignore_merges, nfc, added, after)

    theirs = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    theirs.pre_tokenizer = published
    theirs.normalizer = normalizers.NFC() if nfc else None
    theirs.decoder = decoders.ByteLevel()
    for token, kind in added.items():
        token = tokenizers.AddedToken(token, normalized=False, special=kind == CONTROL)
        theirs.add_special_tokens([token]) if token.special else theirs.add_tokens([token])
    for plain, kinds in [(True, [USER_DEFINED]), (False, [USER_DEFINED, CONTROL])]:
        theirs.encode_special_tokens = plain
        for text in texts:
            assert mine.encode(text, kinds) == theirs.encode(text, add_special_tokens=False).ids, (name, text)

    control = [t for t, kind in added.items() if kind == CONTROL]
    special = special_texts(added)
    tokens = sorted(vocab, key=vocab.get)
    rng = random.Random(7)
    decode = [[rng.randrange(len(tokens)) for _ in range(rng.randint(1, 8))] for _ in range(40)]
    vocabulary = {
        "model": "gpt2", "pre": pre, "tokens": tokens,
        "types": [added.get(t, NORMAL) for t in tokens], "merges": [f"{a} {b}" for a, b in merges],
        "bos_id": vocab[control[0]], "eos_id": vocab[control[1]], "add_bos": True, "add_eos": True,
    }
    return {
        "vocabulary": vocabulary,
        "plain": [mine.encode(t, [USER_DEFINED]) for t in texts],
        "special": [[t, mine.encode(t, [USER_DEFINED, CONTROL])] for t in special],
        "decode": [[ids, mine.decode(ids)] for ids in decode],
    }


def special_texts(added):
    tokens = list(added)
    texts = ["".join(tokens), " ".join(tokens), f"a{tokens[0]}b", f"{tokens[0]} x\n{tokens[1]}\n", tokens[0][:-1], tokens[1] * 3]
    return texts + [f" {t} the {t[1:]}{t}" for t in tokens] + [f"<{tokens[0]}>", "x" + tokens[0] + " " + tokens[0] + "\n\n"]


# --- SentencePiece ------------------------------------------------------------------------------


def train_sentencepiece(**options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in CORPUS.splitlines() if line.strip()), model_writer=out,
        minloglevel=2, num_threads=1, **options,
    )
    return pb.ModelProto.FromString(out.getvalue())


def sentencepiece(texts, proto, model="llama", respell=False):
    processor = spm.SentencePieceProcessor(model_proto=proto.SerializeToString())
    pieces = proto.pieces
    control = [p.piece for p in pieces if p.type == CONTROL]
    find = regex.compile("(" + "|".join(map(regex.escape, sorted(control + ["<unk>"], key=len, reverse=True))) + ")")

    def encode(text):
        parts = find.split(text)
        return [id for i, p in enumerate(parts) for id in ([processor.piece_to_id(p)] if i % 2 else processor.encode(p))]

    rng = random.Random(7)
    known = [i for i, p in enumerate(pieces) if p.type != UNKNOWN]
    decode = [[rng.choice(known) for _ in range(rng.randint(1, 8))] for _ in range(60)]
    spec = proto.normalizer_spec
    user = lambda p: p.piece.replace("\u2581", " ") if respell and p.type == USER_DEFINED else p.piece
    vocabulary = {
        "model": model, "tokens": [user(p) for p in pieces], "scores": [p.score for p in pieces],
        "types": [p.type for p in pieces], "bos_id": processor.bos_id(), "eos_id": processor.eos_id(),
        "unk_id": processor.unk_id(), "add_bos": True, "add_eos": True,
        "add_space_prefix": spec.add_dummy_prefix, "remove_extra_whitespaces": spec.remove_extra_whitespaces,
        "precompiled_charsmap": list(spec.precompiled_charsmap),
    }
    special = special_texts(dict.fromkeys(control, CONTROL))
    return {
        "vocabulary": vocabulary,
        "plain": [processor.encode(t) for t in texts],
        "special": [[t, encode(t)] for t in special] if model == "llama" else [],
        "decode": [[ids, processor.decode(ids)] for ids in decode],
    }


# From, to: code points. The table of NFKC is too large to keep; these rules have what it has: one
# to one, to many, many to one, to nothing, keys that begin others.
RULES = """41\t61
42\t62
fb01\t66 69
65 301\te9
65 301 302\te9 302
bd\t31 2044 32
3000\t20
a0\t20
9\t20
a\t20
200b\t
d\t
ff46\t66
1f98a\t66 6f 78
"""


def train_normalising(nfkc, **options):
    from tempfile import NamedTemporaryFile

    if nfkc:
        return train_sentencepiece(normalization_rule_name="nmt_nfkc", **options)
    with NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write(RULES)
        file.flush()
        return train_sentencepiece(normalization_rule_tsv=file.name, **options)


def llama_like():
    proto = train_sentencepiece(
        model_type="bpe", vocab_size=560, byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, max_sentencepiece_length=12,
        user_defined_symbols=["<tool>", "the"], control_symbols=["<|user|>", "<|end|>"],
    )
    # Pieces that were taken out of use are cut again.
    for piece in [p for p in proto.pieces if p.type == NORMAL and len(p.piece) > 1][5:60:6]:
        piece.type = UNUSED
    return proto


def gemma_like():
    return train_sentencepiece(
        model_type="bpe", vocab_size=600, byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=False, split_digits=True, max_sentencepiece_length=12,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n", "\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "<b>"], control_symbols=["<start>", "<end>"],
    )


def without_bytes():
    return train_sentencepiece(
        model_type="bpe", vocab_size=420, character_coverage=0.98, normalization_rule_name="identity",
        remove_extra_whitespaces=True, control_symbols=["<sep>"],
    )


# --- WordPiece ----------------------------------------------------------------------------------


def wordpiece(texts, lower, respell):
    from tempfile import TemporaryDirectory

    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    vocab = tokenizer.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    with TemporaryDirectory() as directory:
        file = Path(directory) / "vocab.txt"
        file.write_text("\n".join(tokens) + "\n", encoding="utf-8")
        slow = BertTokenizerLegacy(str(file), do_lower_case=lower)

        def encode(text):
            return slow.convert_tokens_to_ids(
                [p for w in slow.basic_tokenizer.tokenize(text) for p in slow.wordpiece_tokenizer.tokenize(w)]
            )

        # The pure Python one composes characters first, the one that models are published with does not.
        composed = lambda t: lower or t == unicodedata.normalize("NFC", t)
        plain = [encode(t) if composed(t) else None for t in texts]
    spelled = lambda t: t if t in specials else t[2:] if t.startswith("##") else "\u2581" + t
    vocabulary = {
        "model": "bert", "tokens": [spelled(t) for t in tokens] if respell else tokens,
        "types": [CONTROL if t in specials else NORMAL for t in tokens],
        "unk_id": 1, "cls_id": 2, "sep_id": 3, "pad_id": 0, "mask_id": 4, "bos_id": 2, "eos_id": 3,
    }
    return {"vocabulary": vocabulary, "plain": plain, "special": [], "decode": []}


def wordpiece_flags(texts):
    """One vocabulary with capital letters and accents, read in every way that the flags allow."""
    from tempfile import TemporaryDirectory

    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    golden = wordpiece([], lower=False, respell=True)
    vocabulary = golden["vocabulary"]
    spelled = [t if t.startswith("[") and len(t) > 2 else t[1:] if t[0] == "\u2581" else "##" + t for t in vocabulary["tokens"]]
    cases = []
    with TemporaryDirectory() as directory:
        file = Path(directory) / "vocab.txt"
        file.write_text("\n".join(spelled) + "\n", encoding="utf-8")
        for lower in [None, False, True]:
            for strip in [None, False, True]:
                slow = BertTokenizerLegacy(str(file), do_lower_case=bool(lower), strip_accents=strip)

                def encode(text):
                    return slow.convert_tokens_to_ids(
                        [p for w in slow.basic_tokenizer.tokenize(text) for p in slow.wordpiece_tokenizer.tokenize(w)]
                    )

                stripped = bool(lower) if strip is None else strip
                # As above: the pure Python one composes characters first.
                plain = [encode(t) if stripped or t == unicodedata.normalize("NFC", t) else None for t in texts]
                cases.append({"lowercase": lower, "strip_accents": strip, "plain": plain})
    return {"vocabulary": vocabulary, "texts": texts, "cases": cases}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--nfkc", action="store_true", help="normalise by SentencePiece's whole table")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    texts = BY_HAND + random_texts(arguments.random)
    chatml = {"<|endoftext|>": CONTROL, "<|im_end|>": CONTROL, "<|im_start|>": CONTROL, "<tool>": USER_DEFINED, "née": USER_DEFINED}
    headers = {"<|begin|>": CONTROL, "<|eot|>": CONTROL, "<|header|>": CONTROL}
    plain = {"<s>": CONTROL, "</s>": CONTROL}
    # Words that no merge makes: only where merges are ignored are they found.
    words = ["supercalifragilisticexpialidocious", "Ġhello", "æĿ±äº¬"]
    goldens = {
        "gpt-2": byte_level(texts, "gpt-2", "gpt-2", [GPT2], chatml),
        "llama-bpe": byte_level(texts, "llama-bpe", "llama-bpe", [LLAMA3], headers, ignore_merges=True, extra=words),
        "dbrx": byte_level(texts, "dbrx", "dbrx", [LLAMA3], plain, size=400, extra=words),
        "qwen2": byte_level(texts, "qwen2", "qwen2", [QWEN2], chatml, nfc=True),
        "tekken": byte_level(texts, "tekken", "tekken", [TEKKEN], plain, size=400, ignore_merges=True, extra=words),
        "gpt-4o": byte_level(texts, "gpt-4o", "gpt-4o", [GPT4O], plain, size=400),
        "deepseek-v3": byte_level(texts, "deepseek-v3", "deepseek-v3", DEEPSEEK3, plain, size=400),
        "starcoder": byte_level(texts, "starcoder", "starcoder", [r"\p{N}", GPT2], plain, size=400),
        "falcon": byte_level(texts, "falcon", "falcon", FALCON, plain, size=400, after=FALCON_BYTES, published=falcon()),
        "deepseek-coder": byte_level(
            texts, "deepseek-coder", "deepseek-coder", DEEPSEEK_CODER, plain, size=400, published=deepseek_coder()
        ),
        "qwen35": byte_level(texts, "qwen35", "qwen35", [QWEN35], plain, size=400, nfc=True),
        "sentencepiece": sentencepiece(texts, llama_like()),
        "sentencepiece-gemma": sentencepiece(texts, gemma_like(), respell=True),
        "sentencepiece-no-bytes": sentencepiece(texts, without_bytes()),
        "unigram": sentencepiece(texts, train_sentencepiece(
            model_type="unigram", vocab_size=270, character_coverage=0.99, normalization_rule_name="identity",
            remove_extra_whitespaces=False,
        ), model="t5"),
        "unigram-t5": sentencepiece(texts, train_normalising(
            arguments.nfkc, model_type="unigram", vocab_size=280, character_coverage=0.99, byte_fallback=False,
            user_defined_symbols=["<extra>", "the"], control_symbols=["<|user|>", "<|end|>"],
        ), model="t5"),
        "sentencepiece-nfkc": sentencepiece(texts, train_normalising(
            arguments.nfkc, model_type="bpe", vocab_size=420, character_coverage=0.98, control_symbols=["<sep>"],
        )),
        "wordpiece": wordpiece(texts, lower=True, respell=True),
        "wordpiece-cased": wordpiece(texts, lower=False, respell=False),
    }
    made_with = f"regex {regex.__version__}, sentencepiece {spm.__version__}, tokenizers {tokenizers.__version__}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    write(arguments.out / "texts.json", texts)
    for name, golden in goldens.items():
        assert len(golden["plain"]) == len(texts)
        write(arguments.out / f"{name}.json", {"made_with": made_with, **golden})
    write(arguments.out / "wordpiece-flags.json", {"made_with": made_with, **wordpiece_flags(BY_HAND)})


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
