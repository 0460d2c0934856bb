#!/usr/bin/env python3
"""Loads a model folder (nibblelm quantize, nibblelm merge) with Transformers, checks every 4-bit layer, generates.

usage: load_model.py DIR [--prompt TEXT] [--tokenizer DIR] [--prompt-ids JSON] [--ids IDS --out FILE [--last 8]]
IDS: JSON text, a .json file or a .safetensors with input_ids. FILE: .safetensors or .json, gets the logits.
Prints one JSON object; exit code 1 if a layer is wrong. Needs the packages of bench/peers/requirements.txt.
"""
import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "bench" / "peers"))

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from transformers import AutoTokenizer

from common import is_quantized, load_base, read_ids, write_logits


def problems(name, layer):
    state = layer.weight.quant_state
    if state is None:
        return [f"{name}: no quant_state"]
    found = []
    shape, blocks = (layer.out_features, layer.in_features), -(-layer.out_features * layer.in_features // state.blocksize)
    if tuple(state.shape) != shape:
        found.append(f"{name}: quant_state.shape: expected {shape}, got {tuple(state.shape)}")
    if state.quant_type not in ("nf4", "fp4"):
        found.append(f"{name}: quant_type: {state.quant_type}")
    if state.absmax.numel() != blocks:
        found.append(f"{name}: absmax: expected {blocks}, got {state.absmax.numel()}")
    if state.absmax.dtype != (torch.uint8 if state.nested else torch.float32):
        found.append(f"{name}: absmax is {state.absmax.dtype}")
    if state.nested and state.state2.absmax.numel() != -(-blocks // state.state2.blocksize):
        found.append(f"{name}: nested_absmax: got {state.state2.absmax.numel()}")
    if not dequantize_4bit(layer.weight.data, state).isfinite().all():
        found.append(f"{name}: dequantizes to values that are not finite")
    return found


def generate(model, ids, new_tokens):
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False)
    return out[0, ids.shape[1] :].tolist()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folder")
    args.add_argument("--prompt", default="Once upon a time")
    args.add_argument("--prompt-ids", help="token ids instead of a prompt, for a folder without a tokenizer")
    args.add_argument("--tokenizer", help="folder of the tokenizer; default: the model's")
    args.add_argument("--new-tokens", type=int, default=16)
    args.add_argument("--ids")
    args.add_argument("--out")
    args.add_argument("--last", type=int, default=8)
    args.add_argument("--threads", type=int, default=1)
    args = args.parse_args()
    torch.set_num_threads(args.threads)

    model = load_base(args.folder, "stored")
    layers = {name: m for name, m in model.named_modules() if isinstance(m, Linear4bit)}
    wrong = [p for name, layer in layers.items() for p in problems(name, layer)]
    if bool(layers) != is_quantized(args.folder):
        wrong.append(f"quantization_config and weights disagree: {len(layers)} layers in 4 bits")
    states = [layer.weight.quant_state for layer in layers.values()]
    result = {
        "linear4bit": len(layers),
        "nested": sum(s.nested for s in states),
        "quant_types": sorted({s.quant_type for s in states}),
        "blocksizes": sorted({s.blocksize for s in states}),
        "dtypes": sorted({str(s.dtype) for s in states}),
        "problems": wrong,
    }
    if args.prompt_ids:
        result["generated_ids"] = generate(model, read_ids(args.prompt_ids), args.new_tokens)
    else:
        tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or args.folder)
        ids = tokenizer(args.prompt, return_tensors="pt")["input_ids"]
        result["prompt_ids"] = ids[0].tolist()
        result["generated_ids"] = generate(model, ids, args.new_tokens)
        result["generated"] = tokenizer.decode(result["generated_ids"])
    if args.ids:
        result |= write_logits(model, read_ids(args.ids), args.out, args.last)
    print(json.dumps(result))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
