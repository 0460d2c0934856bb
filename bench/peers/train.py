#!/usr/bin/env python3
"""QLoRA with PEFT + bitsandbytes on the CPU: NF4 with double quantization, float32 compute, r 16, alpha 16, all-linear, AdamW.

Prints one JSON object: tokens_per_second (median over the steps after the first), peak RSS of the process, the losses.

usage: train.py MODEL [--text FILE] [--batch 4] [--length 256] [--steps 6] [--threads 1] [--checkpointing]
MODEL is a Hugging Face folder or a GGUF file. Without --text the batches are random token ids.
"""
import argparse
import json
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer

from common import VERSIONS, as_folder, load_base, peak_rss_bytes


def make_batches(folder, vocabulary, args):
    shape = (args.steps, args.batch, args.length)
    if not args.text:
        return torch.randint(0, vocabulary, shape)
    ids = AutoTokenizer.from_pretrained(folder)(open(args.text, encoding="utf-8").read(), add_special_tokens=False)["input_ids"]
    starts = torch.randint(0, len(ids) - args.length + 1, shape[:2])
    return torch.tensor([[ids[s : s + args.length] for s in row] for row in starts.tolist()])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model")
    args.add_argument("--text")
    args.add_argument("--batch", type=int, default=4)
    args.add_argument("--length", type=int, default=256)
    args.add_argument("--steps", type=int, default=6)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--learning-rate", type=float, default=2e-4)
    args.add_argument("--checkpointing", action="store_true", help="recompute each layer in the backward pass")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(42)

    with as_folder(args.model) as folder:
        base = load_base(folder, "nf4dq")
        batches = make_batches(folder, base.config.vocab_size, args)
    rss_loaded = peak_rss_bytes()
    if args.checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, weight_decay=0.0)

    seconds, losses = [], []
    for ids in batches:
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    steady = sorted(seconds[1:] or seconds)
    print(json.dumps({
        "peer": f"PEFT {VERSIONS['peft']} + bitsandbytes {VERSIONS['bitsandbytes']}",
        "op": "train-qlora",
        "batch": args.batch,
        "length": args.length,
        "threads": args.threads,
        "checkpointing": args.checkpointing,
        "trainable": sum(p.numel() for p in parameters),
        "tokens_per_second": round(args.batch * args.length / steady[len(steady) // 2], 2),
        "step_seconds": [round(s, 3) for s in seconds],
        "peak_rss_bytes": peak_rss_bytes(),
        "peak_rss_after_load_bytes": rss_loaded,
        "losses": [round(l, 5) for l in losses],
    }))


if __name__ == "__main__":
    main()
