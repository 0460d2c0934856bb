#!/usr/bin/env python3
"""QLoRA with PEFT + bitsandbytes on the CPU as a peer of run.mjs: optimizer steps over random tokens.

NF4 with double quantization, float32 compute, r 16, alpha 16, all-linear, AdamW, clipping at 1.
Case: {"model": a Hugging Face folder or a GGUF file, "size": "BATCHxLENGTH"}.

usage: train.py THREADS
"""
import sys

import torch
from peft import LoraConfig, get_peft_model

from common import VERSIONS, as_folder, load_base, serve


def prepare(case):
    torch.manual_seed(42)
    with as_folder(case["model"]) as folder:
        base = load_base(folder, "nf4dq")
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0)
    shape = [int(n) for n in case["size"].split("x")]

    def step():
        ids = torch.randint(0, base.config.vocab_size, shape)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    serve(f"PEFT {VERSIONS['peft']} + bitsandbytes {VERSIONS['bitsandbytes']} ({threads} thread{'s' if threads > 1 else ''})", prepare)
