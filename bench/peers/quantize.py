#!/usr/bin/env python3
"""bitsandbytes quantize_4bit / dequantize_4bit on the CPU: NF4, float32, blocksize 64. One JSON object a case.

dequantize-nf4 allocates its output, as every user of bitsandbytes does; dequantize-nf4-in-place is the C kernel alone.

usage: quantize.py [--threads 1] [--shapes 576x576,1536x576,4096x4096] [--seconds 1.5]
"""
import argparse
import ctypes
import json
import time

import torch

from common import VERSIONS
import bitsandbytes.functional as F
from bitsandbytes.cextension import lib


def measure(run, seconds):
    """Milliseconds of each call: two to warm up, then as many as fit, at least 7."""
    for _ in range(2):
        run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 7 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def kernel_alone(packed, state):
    """The C kernel under dequantize_4bit, into memory that is there already (dequantize_4bit takes no `out` on the CPU)."""
    rows, columns = state.shape
    out = torch.empty(state.shape)
    sizes = [ctypes.c_longlong(n) for n in (state.blocksize, rows, columns)]
    return lambda: lib.cdequantize_blockwise_cpu_nf4_fp32(F.get_ptr(packed), F.get_ptr(state.absmax), F.get_ptr(out), *sizes)


def report(op, shape, threads, times, elements):
    at = lambda share: times[round(share * (len(times) - 1))]
    print(json.dumps({
        "peer": "bitsandbytes " + VERSIONS["bitsandbytes"],
        "op": op,
        "shape": shape,
        "threads": threads,
        "median_ms": round(at(0.5), 4),
        "p10_ms": round(at(0.1), 4),
        "p90_ms": round(at(0.9), 4),
        "gelem_per_s": round(elements / at(0.5) / 1e6, 4),
    }), flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--shapes", default="576x576,1536x576,2048x2048,4096x4096,14336x4096")
    args.add_argument("--seconds", type=float, default=1.5)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    for text in args.shapes.split(","):
        shape = [int(n) for n in text.split("x")]
        values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        for suffix, double in (("", False), ("-dq", True)):
            quantize = lambda: F.quantize_4bit(values, blocksize=64, compress_statistics=double, quant_type="nf4")
            packed, state = quantize()
            cases = {"quantize-nf4": quantize, "dequantize-nf4": lambda: F.dequantize_4bit(packed, state)}
            if not double:
                cases["dequantize-nf4-in-place"] = kernel_alone(packed, state)
            for op, run in cases.items():
                report(op + suffix, shape, args.threads, measure(run, args.seconds), values.numel())


if __name__ == "__main__":
    main()
