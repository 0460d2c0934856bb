#!/usr/bin/env python3
"""What PEFT reaches on the demo: NF4 base with double quantization, float32 compute, r 16, alpha 16, all-linear,
AdamW at 5e-3 with 10 warm-up steps and linear decay, 120 steps of 8 x 128 tokens of the first 90 % of the text.

The text is tokenized whole, without special tokens. The loss before and after is the mean over the last 10 % of the
tokens in consecutive windows of 128, a shorter last one left out; a window's first token is no target.

By default the batches are windows at random places and the adapter is PEFT's own start (--seed). To compare two
programs on the same run: --save-batches FILE and --save-init DIR write what this one uses, --batches FILE (safetensors,
input_ids [steps, batch, length]) and --init-adapter DIR (PEFT files) take it from elsewhere.

usage: alice.py MODEL TEXT [--threads 2] [--batches FILE] [--init-adapter DIR] [--output DIR] ...
"""
import argparse
import json
import time

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, get_linear_schedule_with_warmup

from common import VERSIONS, load_base, peak_rss_bytes


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", help="folder of the demo model")
    args.add_argument("text")
    args.add_argument("--kind", choices=["nf4dq", "nf4", "f32", "stored"], default="nf4dq")
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--seed", type=int, default=42)
    args.add_argument("--steps", type=int, default=120)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--length", type=int, default=128)
    args.add_argument("--learning-rate", type=float, default=5e-3)
    args.add_argument("--warmup-steps", type=int, default=10)
    args.add_argument("--weight-decay", type=float, default=0.0)
    args.add_argument("--batches")
    args.add_argument("--init-adapter")
    args.add_argument("--save-batches")
    args.add_argument("--save-eval", help="where the windows of the last 10 %% go, input_ids [windows, 1, length]")
    args.add_argument("--save-init")
    args.add_argument("--output", help="folder for the trained adapter")
    return args.parse_args()


def read_tokens(args):
    text = open(args.text, encoding="utf-8").read()
    ids = torch.tensor(AutoTokenizer.from_pretrained(args.model)(text, add_special_tokens=False)["input_ids"])
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:]


def random_windows(ids, args):
    random = torch.Generator().manual_seed(args.seed)
    starts = torch.randint(0, len(ids) - args.length + 1, (args.steps, args.batch, 1), generator=random)
    return ids[starts + torch.arange(args.length)]


@torch.no_grad()
def evaluate(model, ids, length):
    """Mean loss over the targets of consecutive windows."""
    model.eval()
    windows = ids[: len(ids) // length * length].view(-1, length)
    total = sum(model(input_ids=w, labels=w, use_cache=False).loss.item() * len(w) for w in windows.split(8))
    return total / len(windows), windows.numel() - len(windows)


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    train_ids, eval_ids = read_tokens(args)
    batches = load_file(args.batches)["input_ids"].long() if args.batches else random_windows(train_ids, args)
    if args.save_batches:
        save_file({"input_ids": batches.to(torch.int32)}, args.save_batches)
    if args.save_eval:
        windows = eval_ids[: len(eval_ids) // args.length * args.length].view(-1, 1, args.length)
        save_file({"input_ids": windows.to(torch.int32).contiguous()}, args.save_eval)

    base = load_base(args.model, args.kind)
    torch.manual_seed(args.seed)
    if args.init_adapter:
        model = PeftModel.from_pretrained(base, args.init_adapter, is_trainable=True)
    else:
        model = get_peft_model(base, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    if args.save_init:
        model.save_pretrained(args.save_init)
    before, targets = evaluate(model, eval_ids, args.length)

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, weight_decay=args.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, args.warmup_steps, len(batches))
    model.train()
    losses, start = [], time.perf_counter()
    for ids in batches:
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    after, _ = evaluate(model, eval_ids, args.length)
    if args.output:
        model.save_pretrained(args.output)
    print(json.dumps({
        "peer": f"PEFT {VERSIONS['peft']} + bitsandbytes {VERSIONS['bitsandbytes']}",
        "op": "alice",
        "threads": args.threads,
        "seed": args.seed,
        "steps": len(batches),
        "tokens": len(train_ids) + len(eval_ids),
        "eval_targets": targets,
        "loss_before": round(before, 5),
        "loss_after": round(after, 5),
        "train_seconds": round(seconds, 2),
        "tokens_per_second": round(batches.numel() / seconds, 1),
        "peak_rss_bytes": peak_rss_bytes(),
        "losses": [round(l, 5) for l in losses],
    }))


if __name__ == "__main__":
    main()
