#!/usr/bin/env python3
"""Loads an adapter folder (nibblelm train) with PEFT over its base, and writes the logits that PEFT computes.

usage: load_adapter.py BASE ADAPTER --ids IDS [--out FILE] [--last 8] [--kind nf4dq]
BASE: a 4-bit folder, a dense folder (quantized while loading, as --kind says: nf4dq, nf4 or f32) or a GGUF file.
IDS: JSON text, a .json file or a .safetensors with input_ids. FILE: .safetensors ("logits", the last positions) or .json.
Prints one JSON object; exit code 1 if PEFT found keys missing or too many. Needs bench/peers/requirements.txt.
"""
import argparse
import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "bench" / "peers"))

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from common import as_folder, is_quantized, load_base, read_ids, write_logits


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("base")
    args.add_argument("adapter")
    args.add_argument("--ids", required=True)
    args.add_argument("--out")
    args.add_argument("--last", type=int, default=8)
    args.add_argument("--kind", choices=["nf4dq", "nf4", "f32"], default="nf4dq")
    args.add_argument("--threads", type=int, default=1)
    args = args.parse_args()
    torch.set_num_threads(args.threads)

    with as_folder(args.base) as folder:
        base = load_base(folder, "stored" if is_quantized(folder) else args.kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, args.adapter)
    complaints = [str(w.message) for w in caught if "adapter keys" in str(w.message)]
    stored = load_file(str(Path(args.adapter) / "adapter_model.safetensors"))
    loaded = {name.replace(".default", ""): p for name, p in model.named_parameters() if "lora_" in name}
    different = sorted(stored.keys() ^ loaded.keys()) + [k for k in stored.keys() & loaded.keys() if not torch.equal(stored[k].float(), loaded[k].data)]
    result = {
        "lora_modules": sum(isinstance(m, LoraLayer) for m in model.modules()),
        "tensors": len(stored),
        "keys_that_differ": different,
        "complaints": complaints,
    }
    result |= write_logits(model, read_ids(args.ids), args.out, args.last)
    print(json.dumps(result))
    return 1 if different or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
