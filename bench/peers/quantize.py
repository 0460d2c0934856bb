#!/usr/bin/env python3
"""bitsandbytes quantize_4bit / dequantize_4bit on the CPU as a peer of run.mjs: NF4, float32, blocksize 64.

Case: {"op": "quantize-nf4" | "dequantize-nf4", with "-dq" behind it for double quantization, "size": "ROWSxCOLUMNS"}.
dequantize-nf4 allocates its output, as every user of bitsandbytes does; dequantize-nf4-in-place is the C kernel alone.

usage: quantize.py THREADS
"""
import ctypes
import sys

import torch

from common import VERSIONS, serve
import bitsandbytes.functional as F
from bitsandbytes.cextension import lib


def kernel_alone(packed, state):
    """The C kernel under dequantize_4bit, into memory that is there already (dequantize_4bit takes no `out` on the CPU)."""
    rows, columns = state.shape
    out = torch.empty(state.shape)
    sizes = [ctypes.c_longlong(n) for n in (state.blocksize, rows, columns)]
    return lambda: lib.cdequantize_blockwise_cpu_nf4_fp32(F.get_ptr(packed), F.get_ptr(state.absmax), F.get_ptr(out), *sizes)


def prepare(case):
    shape = [int(n) for n in case["size"].split("x")]
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    quantize = lambda: F.quantize_4bit(values, blocksize=64, compress_statistics=case["op"].endswith("-dq"), quant_type="nf4")
    packed, state = quantize()
    if case["op"].startswith("quantize"):
        return quantize
    return kernel_alone(packed, state) if case["op"].endswith("-in-place") else lambda: F.dequantize_4bit(packed, state)


if __name__ == "__main__":
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    serve(f"bitsandbytes {VERSIONS['bitsandbytes']} ({threads} thread{'s' if threads > 1 else ''})", prepare)
