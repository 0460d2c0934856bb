"""The part of SmolLM2's tokenizer metadata that the golden texts touch, beside their golden ids.

usage: make-smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf GOLDEN_TEXT_JSON OUT_JSON
A merge can only happen to substrings of a text, so tokens and merges that are no substring of any
golden text change nothing and are left out; ids stay those of the whole vocabulary.
"""
import json
import struct
import sys

path, golden_path, out = sys.argv[1:4]
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def scalar(file, code):
    return struct.unpack("<" + code, file.read(struct.calcsize(code)))[0]


def value(file, kind):
    if kind == 8:
        return file.read(scalar(file, "Q")).decode("utf-8")
    if kind == 9:
        element, count = scalar(file, "I"), scalar(file, "Q")
        return [value(file, element) for _ in range(count)]
    return scalar(file, SCALARS[kind])


with open(path, "rb") as file:
    file.seek(16)
    metadata = {}
    for _ in range(scalar(file, "Q")):
        key = value(file, 8)
        metadata[key] = value(file, scalar(file, "I"))

golden = json.load(open(golden_path))
texts = [case["text"] for case in golden["tokenize"] + golden["chat"]]

printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
hidden = [byte for byte in range(256) if byte not in printable]
letter = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
written = "\0".join("".join(letter[byte] for byte in text.encode()) for text in texts)

tokens, types = metadata.pop("tokenizer.ggml.tokens"), metadata.pop("tokenizer.ggml.token_type")
merges = metadata.pop("tokenizer.ggml.merges")
kept = {token: i for i, token in enumerate(tokens) if types[i] != 1 or len(token) == 1 or token in written}
few = [merge for merge in merges if all(part in kept for part in [*merge.split(" "), merge.replace(" ", "")])]
json.dump({
    "count": len(tokens), "tokens": kept, "control": [i for i, kind in enumerate(types) if kind == 3], "merges": few,
    "metadata": {key: value for key, value in metadata.items() if key.startswith(("tokenizer.", "general.architecture", "llama.context_length"))},
    **golden,
}, open(out, "w"), ensure_ascii=True, separators=(",", ":"))
