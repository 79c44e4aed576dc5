"""All of Fashion-MNIST on a GPU: the learning rate for `full`, then a study of schedules, through the command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

from benchmarks.gpu.part import Part

STUDY = {
    "methods": "{full: {seeds: SEEDS, epochs: [30, 24, 18, 12]}, full-short: {seeds: SEEDS}, "
    "linear: {seeds: SEEDS, epochs: [30, 45]}, one-layer: {seeds: SEEDS, epochs: [30, 45]}, "
    "autoprog: {seeds: SEEDS, epochs: [30, 45]}}"
}
RATES = (1e-3, 2e-3, 4e-3)


def study(part: Part) -> None:
    """All of Fashion-MNIST: the learning rate for `full` first, then a study, as far as time goes."""
    name, root = "fashion_gpu", part.out
    small = ["space.model_args.embed_dim=24", "recipe.batch_size=16", "data.train_share=0.02", "recipe.epochs=3"]
    settings = small if part.toy else []
    common = ["--data", "fashion_mnist", "--data-root", str(Path(part.fashion).resolve())]
    rate = _rate(part, common, settings)
    text = STUDY["methods"].replace("SEEDS", "1" if part.toy else "10")
    if part.toy:
        text = "{full: {seeds: 1}}"
    words = ["study", "create", name, "--space", "fashion_full", *common, "--skip-if-exists"]
    chosen = [*settings, f"recipe.lr={rate:g}", f"methods={text}", "first_seed=600"]
    _cli(part, root, *words, *(w for s in chosen for w in ("--set", s)))
    seconds = part.left - 12
    workers = "1" if part.toy else str(min(6, max(1, (os.cpu_count() or 2) // 2)))
    began = time.monotonic()
    process = subprocess.Popen(
        _words("study", "run", name, "--workers", workers, "--device", part.device.type), cwd=root
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    _cli(part, root, "study", "export", name)
    with (root / "studies" / name / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "COMPLETE"]
    part.row("study", f"{len(rows)} runs in {time.monotonic() - began:.0f} s, {workers} at once", runs=len(rows))
    for method, epochs in dict.fromkeys((row["method"], row["epochs"]) for row in rows):
        own = [row for row in rows if (row["method"], row["epochs"]) == (method, epochs)]
        val, top1, flops = (mean(float(row[c]) for row in own) for c in ("val_top1", "top1", "total_flops"))
        part.row(
            f"{method}, {epochs} epochs, n={len(own)}", f"val {val:.2f}, test {top1:.2f}, {flops / 1e12:,.0f} TFLOPs"
        )


def _rate(part: Part, common: list[str], settings: list[str]) -> float:
    """The learning rate at which `full`, for a third of the epochs, validates best on two seeds."""
    if part.toy:
        return RATES[1]
    found = {}
    running = {}
    for rate in RATES:
        for seed in (590, 591):
            out = part.out / f"rate_{rate:g}_{seed}"
            words = [
                "train",
                "--space",
                "fashion_full",
                "--schedule",
                "full",
                *common,
                "--seed",
                str(seed),
                "-o",
                str(out),
            ]
            chosen = [*settings, f"recipe.lr={rate:g}", "recipe.epochs=10"]
            running[rate, seed] = subprocess.Popen(
                _words(*words, *(w for s in chosen for w in ("--set", s))), cwd=part.out
            )
    for process in running.values():
        process.wait(max(1.0, part.left - 60))
    for rate in RATES:
        results = [json.loads((part.out / f"rate_{rate:g}_{seed}/result.json").read_text()) for seed in (590, 591)]
        found[rate] = mean(result["val_top1"] for result in results)
    best = max(found, key=lambda rate: found[rate])
    told = ", ".join(f"{rate:g}: {top1:.2f}" for rate, top1 in found.items())
    part.row(
        "learning rate of full", f"validation, 10 epochs, n=2: {told}; {best:g} it is", val_top1=list(found.items())
    )
    return best


def _words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "autoprog_search", *arguments]


def _cli(part: Part, root: Path, *arguments: str) -> None:
    subprocess.run(_words(*arguments), cwd=root, check=True)
