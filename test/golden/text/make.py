"""Token ids by the peers themselves: huggingface/tokenizers 0.23.3 and sentencepiece 0.2.3.

usage: make.py DEMO_DIR OUT_DIR   (DEMO_DIR holds alice.txt)
Writes byte-level.json (a vocabulary whose tokens straddle every boundary that a pre-tokenizer may
draw, and its ids under each kind of pre-tokenizer) and sentencepiece.json (a vocabulary of 500 trained here, with its scores, and its ids).
"""
import io
import json
import random
import sys
import unicodedata

import sentencepiece as spm
from tokenizers import Tokenizer, pre_tokenizers, trainers

demo, out = sys.argv[1:3]
random.seed(5)
PIECES = ["a", "B", "é", " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'ſ", "1", "٣", "²", "½", "Ⅷ", "\u0085", "\ufeff", "\u00a0", "\u2028",
          "\u3000", "\u200b", "_", "-", "!", "…", "$", "+", "猫", "と", "👩\u200d👩", "🇩🇪", "\u0301", "ß", "İ", "\x00", "1234", "ﬁ", " the", "Hello", "ǅ", "𝟘"]
TEXTS = ["".join(random.choice(PIECES) for _ in range(random.randint(1, 14))) for _ in range(150)] + ["cafe\u0301 A\u030a\u1e9b\u0323"]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


PRE = {
    "gpt-2": [byte_level(True)],
    "smollm": [{"type": "Digits", "individual_digits": True}, byte_level(True)],
    "llama-bpe": [split(LLAMA3), byte_level(False)],
    "qwen2": [split(LLAMA3.replace("{1,3}", "")), byte_level(False)],
    "default": [split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]"), byte_level(False)],
}

# Trained on whole texts, so that only a pre-tokenizer keeps a token from crossing its boundaries.
blank = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
         "byte_fallback": False, "ignore_merges": False, "vocab": {}, "merges": []}
base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": byte_level(False),
        "post_processor": None, "decoder": {**byte_level(True), "add_prefix_space": True}, "model": blank}
trained = Tokenizer.from_str(json.dumps(base))
trained.train_from_iterator(TEXTS + [unicodedata.normalize("NFC", text) for text in TEXTS] + ["123 1234"] * 20,
                            trainers.BpeTrainer(vocab_size=900, min_frequency=1, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
base["model"] = json.loads(trained.to_str())["model"]
# Tokens without a merge are reached by ignore_merges only.
base["model"]["merges"] = [merge for merge in base["model"]["merges"] if random.random() > 0.05]
cases = {}
for name, steps in PRE.items():
    config = json.loads(json.dumps(base))
    config["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    config["normalizer"] = {"type": "NFC"} if name == "qwen2" else None
    config["model"]["ignore_merges"] = name == "llama-bpe"
    tokenizer = Tokenizer.from_str(json.dumps(config))
    cases[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
json.dump({
    "tokens": sorted(base["model"]["vocab"], key=base["model"]["vocab"].get), "merges": [" ".join(merge) for merge in base["model"]["merges"]],
    "texts": TEXTS, "ids": cases,
}, open(f"{out}/byte-level.json", "w"), ensure_ascii=True, separators=(",", ":"))

# As Llama 2's tokenizer was trained.
model = io.BytesIO()
sentences = [line.strip() for line in open(f"{demo}/alice.txt", encoding="utf-8") if line.strip()]
spm.SentencePieceTrainer.train(
    sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", vocab_size=500, byte_fallback=True, split_digits=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=0.999, num_threads=1,
    minloglevel=2)
sp = spm.SentencePieceProcessor(model_proto=model.getvalue())
kinds = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1 for i in range(len(sp))]
texts = TEXTS[:80] + ["Hello, world!", "  leading", "trailing  ", "the Mock Turtle said to Alice", "zzzzzz", sentences[3] + " " + sentences[7]]
texts = [text for text in texts if "\x00" not in text]
json.dump({
    "tokens": [sp.id_to_piece(i) for i in range(len(sp))], "scores": [sp.get_score(i) for i in range(len(sp))], "types": kinds,
    "texts": texts, "ids": [sp.encode(text) for text in texts], "decoded": [sp.decode(sp.encode(text)) for text in texts],
}, open(f"{out}/sentencepiece.json", "w"), ensure_ascii=True, separators=(",", ":"))
