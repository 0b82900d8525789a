#!/usr/bin/env python3
"""Train the tiny Llama that ships with Unisono, and compute its golden results.

Why this exists: tests and demos need a real model (grouped-query attention, rotary
embeddings, SwiGLU, tied embeddings, a byte-level BPE tokenizer) that is small enough to live
in the repository, free of licence questions, and that has known-good results from an
independent implementation. This script makes all of it from nothing but a seed:

  1. a corpus of small English stories, written by the grammar below;
  2. a byte-level BPE tokenizer trained on it        -> tokenizer.json
  3. a Llama of about one million parameters, in f16 -> config.json, model.safetensors
  4. goldens by transformers (f32, eager attention)  -> goldens.json, goldens.safetensors

How to run it (about 15 minutes on two CPU cores):

    python3 -m venv venv && venv/bin/pip install -r scripts/requirements.txt
    venv/bin/python scripts/train_tiny_llama.py                  # everything
    venv/bin/python scripts/train_tiny_llama.py --goldens-only   # goldens of the saved model

The same seed, package versions and kind of CPU give the same files. Another CPU may round
differently, so a retrained model can differ in its weights; the goldens always describe the
saved weights, and their greedy tokens do not depend on rounding (see `min_top2_gap`).
"""

import argparse
import json
import math
import random
import re
import time
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

ASSETS = Path(__file__).resolve().parent.parent / "crates" / "models" / "assets" / "tiny-llama"
BOS, EOS = "<s>", "</s>"

# config.json, in the layout that published Llama checkpoints have.
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float16",
    "vocab_size": 1024, "bos_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 512,
    "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 5,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "initializer_range": 0.02,
    "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
    "tie_word_embeddings": True, "use_cache": True,
}

STORIES = 36_000
SEQUENCE, BATCH = CONFIG["max_position_embeddings"], 8
PEAK_RATE, WARMUP = 4e-3, 80

NEW_TOKENS = 64                        # greedy tokens per golden prompt
GENERATED_BEFORE = [0, 1, 8, 31, 63]   # golden logits: after the prompt and so many tokens
MIN_GAP = 0.02                         # least distance of the top two logits in a golden

# ------------------------------------------------------------------------------ the grammar
#
# A template holds slots, {name}, and alternatives, [one|another]; the earlier an alternative,
# the more often it is drawn. "//" begins a paragraph. {n} is the hero, {nn} the hero presented
# where no opening did that, {f} the friend, {ff} the friend presented. The friend has the other
# pronoun than the hero, so that "he" and "she" are never ambiguous.

GIRLS = "Mia Anna Lily Emma Rose Lucy Nora Ella Sara Zoe Ruby Clara Ivy Alice".split()
BOYS = "Tom Ben Max Sam Leo Jack Finn Noah Oscar Adam Tim Luke Hugo Peter".split()
ANIMALS = "rabbit fox bear mouse squirrel hedgehog cat duck frog turtle".split()
SHE_ANIMALS = "Daisy Pearl Hazel Molly Honey Poppy Willow Dot".split()
HE_ANIMALS = "Rusty Bruno Pip Coco Barney Toby Hops Milo".split()
NATURES = "little kind brave curious clever cheerful gentle shy".split()
PARENTS = {"mother": "Mom", "father": "Dad", "grandmother": "Grandma", "grandfather": "Grandpa"}
CHILD_HOMES = ["in a small village", "near the forest", "by the sea", "on a farm",
               "in a little house on a hill", "in a big town", "next to the river"]
ANIMAL_HOMES = ["in the forest", "near the river", "under an old tree", "at the edge of a field",
                "in a green valley", "beside a quiet pond"]
HOBBIES = ["play outside", "sing songs", "look at the clouds", "listen to stories",
           "explore new places", "pick flowers", "watch the birds", "run in the grass"]
TOYS = ["red ball", "blue kite", "teddy bear", "toy boat", "wooden horse", "silver bell",
        "paper plane", "green hoop", "wooden car", "little drum"]

OPENINGS = """Once upon a time, there was a {nature} {kind} named {n}.
Once upon a time, there was a {nature} {kind} named {n} who lived {home}.
Once upon a time, a {nature} {kind} named {n} lived {home}.
There was once a {nature} {kind} named {n}. {He} lived {home} with {his} [family|parents].
{n} was a {nature} {kind} who lived {home}.
Long ago, a {nature} {kind} named {n} lived {home}.
A {nature} {kind} named {n} lived {home}.""".split("\n")

TIMES = ["One day,", "One morning,", "One sunny day,", "One afternoon,", "Early one morning,",
         "On a warm day in spring,", "It was a beautiful morning, and", "It was a quiet day, and"]

ENDINGS = {
    "friends": "[From that day on, {n} and {f} were best friends.|They walked home together and "
               "laughed all the way.|{n} knew that a good friend is the best thing in the "
               "world.|It was a day that they never forgot.]",
    "proud": "[That night, {n} went to bed with a big smile.|{n} was very proud, and {he} never "
             "forgot that day.|{His} family was very proud of {him}.|It was a very good day.]",
}

LEARN = """{T} {nn} saw {ff} [in the distance|outside]. {f} could {skill}, and it looked like so
much fun. "I want to {skill} too," said {n}. {He} tried, but {he} {fail}. {He} tried again, and
again {he} {fail}. "[I will never learn it|It is too hard for me]," {he} said.
//"[Do not give up|Try once more], {n}," said {f}. "[I could not do it at first|It takes time to
learn new things]. I will show you how." {f} showed {him} [what to do|every step], and {n} watched
very carefully. They practiced [every day|day after day]. Each time, {n} got a little better.
//Then, one day, {n} took a deep breath and tried again. This time, {he} {win}! "[I did it|Look at
me]!" {he} shouted. "[I knew that you could do it|Well done]!" said {f}, and {fhe} clapped. {proud}"""

# Each plot: who can be its hero, the slots of its rows, the rows, the text.
PLOTS = [
    ("both", "place|hide", """in the garden|under a bush; in the garden|behind the old tree;
     in the park|under a bench; in the park|in the tall grass; at the beach|behind a big rock;
     at the beach|under the sand; in the forest|in a pile of leaves; in the forest|behind a log""",
     """{T} {nn} was playing {place} with {his} {toy}. {He} [ran and jumped|played for a long time]
until {he} was tired. But when it was time to go home, the {toy} was gone! {n} looked everywhere,
but {he} could not find it. {He} [was very sad|sat down and began to cry].
//"[What is wrong|Why are you so sad], {n}?" asked {ff}. "I lost my {toy}," said {n}. "[Do not
worry|Do not cry]," said {f}. "[We will look for it together|I will help you find it]."
//They looked [here and there|high and low]. At last, {f} looked {hide}. "[Look|Come here], {n}!"
{fhe} [shouted|called]. "I found your {toy}!" {n} was so happy that {he} [hugged {f}|jumped up and
down]. "Thank you, {f}," {he} said. "You are a good friend." {friends}"""),

    ("both", "pet|trap|why|tool", """kitten|in a tall tree|It had climbed too high|a ladder;
     puppy|in a deep hole|It had fallen down|a rope; lamb|in the mud|Its legs were stuck|a rope;
     little bird|in a thorny bush|Its wing was stuck|thick gloves;
     duckling|in a net|Its foot was stuck|a sharp knife""",
     """{T} {nn} was walking [down the road|along the path] when {he} heard a [small|sad] cry. {He}
[stopped and listened|looked around]. There was a {pet} {trap}! {why}, and now it could not get
out. "[Do not be afraid|Stay there], little one," said {n}. "I will [get help|help you]."
//{n} ran home as fast as {he} could. "[Please come|Come quickly], {Parent}!" {he} said. "A {pet}
is {trap}, and it needs our help." {His} {parent} took {tool} and went with {him}.
//They worked slowly and carefully, and soon the {pet} was free. It was [tired and hungry|cold and
scared], so {n} [held it in {his} arms|gave it some milk]. "[You did the right thing|You have a
kind heart], {n}," said {his} {parent}. {n} [smiled|felt warm and happy inside]. {proud}"""),

    ("both", "food", "sandwich; apple; cake; pear; pie; cookie; loaf of bread; piece of cheese",
     """{T} {nn} got a big {food} from {his} {parent}. "[Thank you|It looks so good], {Parent}!" said
{n}. {He} took the {food} and [sat down under a tree|went outside] to eat it.
//Just then, {ff} came by. {f} looked at the {food} and [was very quiet|did not smile]. "[Are you
hungry|What is wrong], {f}?" asked {n}. "I have had nothing to eat all day," said {f}. {n} thought
for a moment. {He} was hungry too, but {he} did not want {his} friend to be sad. So {he} cut the
{food} in two and gave one half to {f}.
//"Thank you, {n}!" said {f}. They sat side by side and ate the {food} together. [It tasted even
better than before.|Half was enough for both of them.] "[Sharing makes everything sweeter|It is
more fun to eat with a friend]," said {n}. {friends}"""),

    ("child", "skill|fail|win", """ride a bike|fell off the bike|rode all the way down the road;
     swim|swallowed some water|swam across the pond; skate|slipped and fell|skated around the lake;
     climb a rope|slid back down|climbed to the very top;
     dance|tripped and fell|danced around the room""", LEARN),

    ("animal", "kind|fkind|skill|fail|win", """
     mouse|frog|swim|swallowed some water|swam across the pond;
     cat|duck|swim|swallowed some water|swam across the pond;
     turtle|squirrel|climb a tree|slid back down|climbed to the very top;
     fox|bear|climb a tree|slid back down|climbed to the very top;
     hedgehog|rabbit|jump over the stream|fell into the water|jumped right over the stream;
     duck|fox|jump over the stream|fell into the water|jumped right over the stream""", LEARN),

    ("both", "game|shelter", """playing in the field|under a big tree;
     picking berries|in a small cave; fishing by the river|under a bridge;
     walking in the forest|in an old barn; looking for shells|in a little hut""",
     """{T} {nn} and {ff} were {game}. [The sky was blue|The sun was warm], and they were having a
good time. Then [a big gray cloud came|the wind began to blow], and it began to rain. "We will get
wet!" said {f}. "[Follow me|Come with me]," said {n}. "I know a dry place."
//They ran as fast as they could and hid {shelter}. The rain fell [hard|harder and harder], and the
thunder was loud. {f} was afraid, so {n} [held {fhis} hand|sat close to {fhim}]. "It is only
noise," {n} said. "[It will be over soon|Let us sing a song]."
//After a while, the rain stopped, and the sun came out again. "Look!" said {n}. There was a rainbow
in the sky. It was [red and yellow and blue|the most beautiful thing they had ever seen]. "[I am
glad that you were with me|You are very brave]," said {f}. {friends}"""),

    ("both", "thing", "cup; vase; plate; lamp; bowl; clock; window; mirror",
     """{T} {nn} was playing with a ball in the [house|kitchen]. {He} was not careful. The ball hit
the {thing}, and the {thing} broke! {n} was [afraid|very worried]. "{Parent} loves that {thing},"
{he} thought. "What will I do?"
//At first, {n} wanted to [hide|run away]. But {he} knew that it was better to tell the truth. So
{he} went to {his} {parent} and said, "I broke the {thing}. I am [so|very] sorry." {His} {parent}
looked at the {thing} and then at {n}. "[I am a little sad|I liked that {thing}]," said {his}
{parent}, "but I am glad that you told me the truth."
//Together they [picked up the pieces|cleaned the floor]. "Next time, I will play outside," said
{n}. {His} {parent} gave {him} a hug, and {n} felt much better. [{He} learned that telling the truth
is always best.|{n} was always more careful after that.]"""),

    ("both", "spot", "by the pond; under a tree; on a bench; near the bridge; on a hill",
     """{Nn} had no one to play with, and {he} often felt lonely. {T} {n} saw someone {spot}. It was a
little {fkind}. {FHe} [looked lonely too|was sitting all alone]. {n} was [a little shy|not sure what
to do], but {he} walked up and said, "Hello! My name is {n}. What is your name?"
//"My name is {f}," {fhe} said. "I am new here, and I have no friends yet." "[I can be your
friend|Then let us be friends]," said {n}. "Do you want to play with my {toy}?" {f} [smiled for the
first time|nodded and smiled]. "[Yes, please|I would like that]!" {fhe} said.
//They played with the {toy} [all afternoon|for hours] and laughed a lot. When it was time to go
home, {f} said, "[This was the best day|I had so much fun]. Can we play again tomorrow?" "[Of
course|Yes, every day]!" said {n}. {n} was not lonely anymore. {friends}"""),

    ("both", "noise|maker", """a tapping sound|a branch that moved in the wind;
     a soft cry|a lost kitten; a loud bump|a cat that had jumped off the roof;
     a strange song|an owl that sat in a tree;
     a scratching sound|a tiny mouse that looked for food; a low hum|a bee that could not get out""",
     """[One night|Late one night], {nn} could not sleep. It was dark, and {he} heard {noise}. {n}
pulled the blanket over {his} head. "[What is that|Is it a monster]?" {he} thought. {His} heart beat
very fast.
//Then {he} heard the sound again. "I must be brave," said {n}. {He} [took a small lamp|lit a candle]
and walked slowly to the window. {He} [counted to three|took a deep breath] and looked outside. It
was not a monster at all. It was only {maker}!
//{n} laughed and laughed. "[I was afraid of nothing|It was not scary at all]," {he} said. {His}
{parent} heard {him} and came in. {n} told {his} {parent} all about it. "[That was very brave|You
were very brave], {n}," said {his} {parent}. Then {n} closed {his} eyes and [had sweet
dreams|slept until morning]."""),

    ("animal", "kind|fkind|prize", """turtle|rabbit|a golden cup; duck|fox|a basket of nuts;
     hedgehog|cat|a big cake; turtle|fox|a silver ring; mouse|squirrel|a sweet melon""",
     """{f} the {fkind} was very fast, and {fhe} liked to [talk about it|laugh at the others]. "No one
can beat me," said {f}. {T} all the animals met [in the field|by the river] for a race. The prize was
{prize}. {Nn} wanted to run too. "You are too slow!" said {f}, and {fhe} laughed.
//The race began. {f} ran ahead and was soon far away. "[I have a lot of time|I will win anyway],"
{fhe} thought, and {fhe} lay down [in the shade|under a tree] to sleep. But {n} did not stop. Step by
step, {he} went on, [even when {he} was tired|and {he} did not look back].
//When {f} woke up, it was too late. {n} was already at the end! All the animals cheered, and {n} got
{prize}. "[I am sorry that I laughed|You won the race]," said {f}. "[You are a hero|I will never be
so proud again]." {n} smiled and shared the prize with {fhim}. {friends}"""),

    ("both", "box|inside|owner", """small box|a gold ring|an old woman; old box|a letter|an old man;
     brown bag|a silver cup|the baker; little purse|a silver key|the teacher;
     wooden box|a shiny watch|the farmer; blue bag|a beautiful necklace|the queen""",
     """{T} {nn} found a {box} [on the road|under a tree|near the river]. {He} [picked it up|opened it
slowly] and looked inside. There was {inside} in it! "[How pretty!|What is this?]" said {n}. "[I
wonder who lost it|Someone must be very sad now]."
//{n} wanted to keep it, but {he} knew that it was not {his_own}. So {he} took the {box} and asked
everyone in the [town|village]. "[Is this yours|Did you lose this]?" {he} asked {ff}. "No, it is not
mine," said {f}, "but I will help you." They went from door to door.
//At last, they came to {owner}. "[That is my {box}|You found it]! [I looked for it everywhere|I
thought it was gone forever]. Thank you, {n}. You are an honest {kind}." {n} and {f} got a [big
cake|warm meal] as a reward. "[It feels good to do the right thing|I am glad that we gave it back],"
said {n}. {friends}"""),
]


def draw(rng, options, decay=0.9):
    """One of the options, the earlier the more likely (so that greedy choices are clear-cut)."""
    return rng.choices(options, [decay**i for i in range(len(options))])[0]


def pronouns(she, prefix=""):
    words = ("she", "her", "her", "hers") if she else ("he", "his", "him", "his")
    slots = dict(zip(("he", "his", "him", "his_own"), words))
    slots |= {key.capitalize(): word.capitalize() for key, word in slots.items()}
    return {(prefix.upper() if key[0].isupper() else prefix) + key: slots[key] for key in slots}


def expand(rng, template, slots):
    """Draws the alternatives, the innermost first, and fills the slots, until none is left."""
    while "[" in template or "{" in template:
        if "[" in template:
            template = re.sub(r"\[([^\[\]]*)\]", lambda m: draw(rng, m[1].split("|"), 0.7), template)
        else:
            template = template.format_map(slots)
    return template


def write_story(rng):
    child, she = rng.random() < 0.65, rng.random() < 0.5
    allowed = ("both", "child" if child else "animal")
    _, columns, rows, text = rng.choice([plot for plot in PLOTS if plot[0] in allowed])
    row = draw(rng, [" ".join(row.split()) for row in rows.split(";")])
    slots = pronouns(she) | pronouns(not she, "f")
    if child:
        slots |= {"n": draw(rng, GIRLS if she else BOYS, 0.97), "f": draw(rng, BOYS if she else GIRLS)}
        slots |= {"kind": "girl" if she else "boy", "fkind": "boy" if she else "girl"}
    else:
        slots |= {"n": draw(rng, SHE_ANIMALS if she else HE_ANIMALS, 0.97),
                  "f": draw(rng, HE_ANIMALS if she else SHE_ANIMALS)}
        slots |= dict(zip(("kind", "fkind"), rng.sample(ANIMALS, 2)))
    slots |= dict(zip(columns.split("|"), row.split("|"), strict=True)) | ENDINGS
    slots |= {"nature": draw(rng, NATURES), "toy": draw(rng, TOYS), "T": draw(rng, TIMES),
              "home": draw(rng, CHILD_HOMES if child else ANIMAL_HOMES),
              "ff": "{his} friend {f}" if child else "{f} the {fkind}"}
    slots["parent"] = draw(rng, list(PARENTS))
    slots["Parent"] = PARENTS[slots["parent"]]

    if rng.random() < 0.75:
        hobby = f" {{He}} [liked|loved] to {draw(rng, HOBBIES)}." if rng.random() < 0.5 else ""
        text = draw(rng, OPENINGS) + hobby + " // " + text
        slots["nn"] = slots["Nn"] = "{n}"
    else:
        slots["nn"] = draw(rng, ["a {nature} {kind} named {n}", "{n}" if child else "{n} the {kind}"])
        slots["Nn"] = slots["nn"][0].upper() + slots["nn"][1:]
    text = expand(rng, text, slots)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", " ".join(text.split()))
    text = text.replace(" // ", "\n\n").replace(" //", "\n\n")
    return text[0].upper() + text[1:]


# ------------------------------------------------------------------ tokenizer, model, training


def train_tokenizer(stories):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=CONFIG["vocab_size"], special_tokens=[BOS, EOS],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(stories, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, CONFIG["bos_token_id"])])
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"]
    assert tokenizer.token_to_id(EOS) == CONFIG["eos_token_id"]
    return tokenizer


def pack(tokenizer, stories):
    """Rows of SEQUENCE tokens, full of stories, and the position of each token in its story."""
    rows, row = [], []
    for encoding in tokenizer.encode_batch(stories):
        ids = encoding.ids + [CONFIG["eos_token_id"]]
        row += zip(ids, range(len(ids)))
        if len(row) >= SEQUENCE:
            rows.append(row[:SEQUENCE])
            row = []
    return torch.tensor(rows)  # [rows, tokens, 2]


def loss_of(model, rows):
    """The mean loss. Without a cache transformers keeps apart the stories that share a row: it
    finds them by the positions, which begin anew."""
    ids, positions = rows.unbind(-1)
    return model(input_ids=ids, position_ids=positions, labels=ids, use_cache=False).loss


def train(rows, steps, seed):
    """Trains a model on the rows, but for the last 64, which measure the validation loss."""
    torch.manual_seed(seed)
    rows, validation = rows[:-64], rows[-64:]
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).float()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                   {"params": norms, "weight_decay": 0.0}], betas=(0.9, 0.95))
    order, losses, start = torch.empty(0, dtype=torch.long), [], time.time()
    for step in range(steps):
        progress = max(0.0, (step - WARMUP) / max(1, steps - WARMUP))
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
        rate = PEAK_RATE * min((step + 1) / WARMUP, cosine)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if len(order) < BATCH:
            order = torch.randperm(len(rows))
        batch, order = rows[order[:BATCH]], order[BATCH:]
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 25 == 0 or step + 1 == steps:
            print(f"step {step + 1:5}/{steps}  loss {sum(losses[-25:]) / len(losses[-25:]):.4f}"
                  f"  rate {rate:.5f}  {time.time() - start:5.0f} s", flush=True)
    with torch.no_grad():
        parts = [loss_of(model, part).item() for part in validation.split(BATCH)]
    return model, sum(losses[-25:]) / len(losses[-25:]), sum(parts) / len(parts)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_model(out, steps, seed):
    rng = random.Random(seed)
    stories = [write_story(rng) for _ in range(STORIES)]
    tokenizer = train_tokenizer(stories)
    rows = pack(tokenizer, stories)
    print(f"{len(stories)} stories ({len(set(stories))} different), {rows.numel() // 2} tokens")
    model, loss, validation_loss = train(rows, steps, seed)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, loss {loss:.4f}, validation loss {validation_loss:.4f}")

    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(out / "config.json", CONFIG)
    # The head is tied to the embeddings, so that it has no tensor of its own.
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()
               if name != "lm_head.weight"}
    save_file(weights, out / "model.safetensors", metadata={
        "format": "pt", "seed": str(seed), "steps": str(steps), "loss": f"{loss:.4f}",
        "validation_loss": f"{validation_loss:.4f}"})


# ------------------------------------------------------------------------------------- goldens

# Of each list, the prompt whose greedy tokens are the most clear-cut becomes a golden prompt.
CANDIDATES = [
    [f"Once upon a time, there was a little {kind} named {name}." for kind, name in
     [("girl", "Mia"), ("boy", "Tom"), ("girl", "Lily"), ("boy", "Max"), ("girl", "Anna")]],
    ["Once upon a time", "One day,", "Long ago,", "There was once a", "In the", "A kind"],
    [f"Late one night, {name} the {kind} could not sleep." for name, kind in
     [("Rusty", "fox"), ("Pip", "mouse"), ("Daisy", "duck"), ("Hazel", "cat"), ("Coco", "bear")]],
    [f"It was a beautiful morning, and {name} and" for name in
     ["Ben", "Emma", "Leo", "Rose", "Sam", "Lucy"]],
    [f"Long ago, a brave {kind} named {name} lived by the sea. {he} loved to explore new places.\n\n"
     f"One morning, {name} found a small box on the road. {he} picked it up and looked inside."
     for kind, he, name in [("girl", "She", "Nora"), ("boy", "He", "Jack"), ("girl", "She", "Ruby"),
                            ("boy", "He", "Noah"), ("girl", "She", "Clara")]],
]


@torch.no_grad()
def golden(model, tokenizer, prompt):
    """Greedy tokens without a stop, all logits, and the smallest distance of the top two."""
    prompt_ids = tokenizer.encode(prompt).ids
    ids = list(prompt_ids)
    for _ in range(NEW_TOKENS):
        ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
    logits = model(torch.tensor([ids])).logits[0]
    generated = ids[len(prompt_ids):]
    chosen = logits[len(prompt_ids) - 1:-1]
    assert chosen.argmax(-1).tolist() == generated, "one pass and many passes disagree"
    top = chosen.topk(2).values
    record = {"prompt": prompt, "prompt_ids": prompt_ids, "generated_ids": generated,
              "generated_text": tokenizer.decode(generated), "text": tokenizer.decode(ids),
              "min_top2_gap": (top[:, 0] - top[:, 1]).min().item(),
              "logit_positions": [len(prompt_ids) - 1 + n for n in GENERATED_BEFORE]}
    return record, logits[record["logit_positions"]].clone()


@torch.no_grad()
def hidden_states(model, ids):
    """At the last token: the embedding and the output of every layer; that of the final norm."""
    states = []
    modules = [model.model.embed_tokens, *model.model.layers, model.model.norm]
    hooks = [module.register_forward_hook(lambda _, __, output: states.append(output[0, -1].clone()))
             for module in modules]
    model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.stack(states[:-1]), states[-1]


def make_goldens(out):
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    with safe_open(out / "model.safetensors", "pt") as file:
        training = {key: json.loads(value) for key, value in sorted(file.metadata().items())
                    if key != "format"}
    prompts, tensors = [], {}
    for candidates in CANDIDATES:
        results = [golden(model, tokenizer, prompt) for prompt in candidates]
        results = [r for r in results if CONFIG["eos_token_id"] not in r[0]["generated_ids"]]
        record, logits = max(results, key=lambda result: result[0]["min_top2_gap"])
        assert record["min_top2_gap"] > MIN_GAP, f"no clear-cut prompt among {candidates}"
        record["logits"] = f"logits/{len(prompts)}"
        tensors[record["logits"]] = logits
        prompts.append(record)
        print(f"\n--- smallest gap {record['min_top2_gap']:.4f}\n{record['prompt']}|"
              f"{record['generated_text']}")
    tensors["hidden/0"], tensors["hidden_norm/0"] = hidden_states(model, prompts[0]["prompt_ids"])
    save_file(tensors, out / "goldens.safetensors")
    goldens = {
        "description": "Greedy continuations (no stop at </s>), logits and hidden states of the "
                       "model in this folder, computed by transformers on a CPU in f32 (the f16 "
                       "weights upcast) with eager attention; the tensors in goldens.safetensors.",
        "logits": "logits/I [positions, vocab]: the rows of prompt I at logit_positions, which are "
                  "indices into prompt_ids + generated_ids; a row predicts the token after it.",
        "hidden": "hidden/0 [layers + 1, hidden]: the last token of prompt 0 (nothing generated): "
                  "its embedding, then the output of each layer, all of them, the last too, BEFORE "
                  "the final norm; hidden_norm/0 [hidden]: the output of the final norm.",
        "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__, **training, "config": CONFIG,
        "new_tokens": NEW_TOKENS, "generated_before": GENERATED_BEFORE, "prompts": prompts,
    }
    write_json(out / "goldens.json", goldens)
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size:9} {path.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the model and goldens")
    parser.add_argument("--steps", type=int, default=1200, help="training steps")
    parser.add_argument("--seed", type=int, default=20, help="seed of the corpus and the training")
    parser.add_argument("--goldens-only", action="store_true", help="keep the saved model")
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    if not args.goldens_only:
        make_model(args.out, args.steps, args.seed)
    make_goldens(args.out)


if __name__ == "__main__":
    main()
