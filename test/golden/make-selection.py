#!/usr/bin/env python3
"""Writes selection.json: which modules of a model PEFT gives an adapter to, with which r and scaling, for many settings.

Each case: {name, config (as in adapter_config.json), modules: {path: {r, scaling}}} or {name, config, error} where PEFT refuses.

usage: make-selection.py MODEL_FOLDER [--output FILE]          (Python packages: bench/peers/requirements.txt)
"""
import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench" / "peers"))

from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from common import VERSIONS, load_base

QV = ["q_proj", "v_proj"]
CASES = {
    "all-linear": {"target_modules": "all-linear"},
    "default targets of the family": {},
    "suffixes": {"target_modules": QV},
    "suffix with its parent": {"target_modules": ["self_attn.o_proj", "mlp.down_proj"]},
    "part of a name is no suffix": {"target_modules": ["proj", "q_proj"]},
    "full path": {"target_modules": ["model.layers.3.mlp.up_proj"]},
    "full path and suffix": {"target_modules": ["model.layers.3.mlp.up_proj", "k_proj"]},
    "regular expression": {"target_modules": r".*layers\.[0-2]\..*(q|v)_proj"},
    "regular expression must match the whole path": {"target_modules": r"layers\.0\.self_attn\.q_proj"},
    "regular expression with a class": {"target_modules": r"model\.layers\.\d+\.mlp\.(gate|up|down)_proj"},
    "one layer": {"target_modules": QV, "layers_to_transform": 2},
    "layers": {"target_modules": QV, "layers_to_transform": [0, 5]},
    "layers with pattern": {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": "layers"},
    "layers of all-linear": {"target_modules": "all-linear", "layers_to_transform": [4]},
    "a full path outside the layers": {"target_modules": ["model.layers.3.mlp.up_proj", "k_proj"], "layers_to_transform": [0]},
    "layers with a regular expression": {"target_modules": ".*q_proj", "layers_to_transform": [0]},
    "no such layer": {"target_modules": QV, "layers_to_transform": [17]},
    "exclude suffix": {"target_modules": "all-linear", "exclude_modules": ["down_proj", "k_proj"]},
    "exclude regular expression": {"target_modules": QV, "exclude_modules": r".*layers\.[1-5]\..*"},
    "exclude full path": {"target_modules": ["q_proj"], "exclude_modules": ["model.layers.0.self_attn.q_proj"]},
    "rank pattern": {"target_modules": QV, "rank_pattern": {"q_proj": 2}},
    "rank pattern by path": {"target_modules": QV, "rank_pattern": {"model.layers.0.self_attn.q_proj": 16, "v_proj": 3}},
    "rank pattern by regular expression": {"target_modules": QV, "rank_pattern": {r"layers\.[45]\.self_attn\..*": 32}},
    "rank pattern needs whole name parts": {"target_modules": QV, "rank_pattern": {"proj": 3, "self_attn": 5}},
    "rank pattern, first match wins": {"target_modules": QV, "rank_pattern": {"q_proj": 2, "self_attn.q_proj": 3}},
    "rank pattern anchored": {"target_modules": QV, "rank_pattern": {"^model.layers.1.self_attn.v_proj": 6, "^layers.0.self_attn.v_proj": 7}},
    "alpha pattern": {"target_modules": QV, "alpha_pattern": {"v_proj": 64}},
    "rank and alpha pattern": {"target_modules": QV, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 5, r"layers.3.*v_proj": 1}},
    "rank and alpha by different keys": {"target_modules": QV, "rank_pattern": {r".*\.q_proj": 4}, "alpha_pattern": {"q_proj": 5, "v_proj": 6}},
    "rsLoRA": {"target_modules": ["o_proj"], "use_rslora": True},
    "rsLoRA with patterns": {"target_modules": QV, "use_rslora": True, "rank_pattern": {"q_proj": 3}, "alpha_pattern": {"v_proj": 7}},
    "all-linear as a list element": {"target_modules": ["all-linear"]},
    "own head by name": {"target_modules": ["lm_head"]},
    "nothing matches": {"target_modules": ["c_attn"]},
    "r 0": {"target_modules": QV, "r": 0},
}


def select(base_folder, options):
    config = LoraConfig(**{"r": 8, "lora_alpha": 16, "task_type": "CAUSAL_LM", **options})
    model = get_peft_model(load_base(base_folder, "f32"), config)
    return {
        name.removeprefix("base_model.model."): {"r": m.r["default"], "scaling": m.scaling["default"]}
        for name, m in model.named_modules()
        if isinstance(m, LoraLayer)
    }


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=Path)
    args.add_argument("--output", type=Path, default=HERE / "selection.json")
    args = args.parse_args()
    cases = []
    for name, options in CASES.items():
        case = {"name": name, "config": {"r": 8, "lora_alpha": 16, **options}}
        try:
            case["modules"] = select(args.model, options)
        except (ValueError, TypeError, UnboundLocalError) as error:
            case["error"] = f"{type(error).__name__}: {str(error).split('{')[0].splitlines()[0][:160]}"
        cases.append(case)
        print(f"{name}: {case.get('error') or len(case['modules'])}", file=sys.stderr)
    lines = ",\n".join(json.dumps(case) for case in cases)
    args.output.write_text(f'{{"made_with": {json.dumps(VERSIONS)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
