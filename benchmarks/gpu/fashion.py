"""All of Fashion-MNIST on a GPU: the learning rate for `full`, then a study of schedules, through the command line."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from autoprog_search.settings.recipe import load_recipe
from benchmarks.gpu.part import Part

SPACE = "fashion_full_gpu"  # and its recipe
METHODS = {
    "full": "",
    "full-short": "",
    "linear": "",
    "one-layer": "",
    "hand-timed": "",
    "autoprog": "",
    "autoprog+clock": ", space: {clock: free}",
}
"""With what is different in them from the rest of the study."""
RATES = (5e-4, 1e-3, 2e-3)
RATE_SEEDS = (590, 591)
RATE_EPOCHS = 10
AT_ONCE = len(RATES) * len(RATE_SEEDS)  # runs of so small a network leave most of a GPU idle
OVER_FULL = 0.7  # seconds of a run of the study over full's, in the mean
SMALL = ("space.model_args.embed_dim=24", "recipe.batch_size=16", "data.train_share=0.02", "recipe.epochs=3")


def study(part: Part) -> None:
    """All of Fashion-MNIST: the learning rate for `full` first, then a study of as many seeds as fit."""
    data = ("--data", "fashion_mnist", "--data-root", str(Path(part.fashion).resolve()))
    settings = [*SMALL, "methods={full: {seeds: 1}}"]
    if not part.toy:
        rate, seconds = _learning_rate(part, data)
        seeds = int((part.left - 45) * AT_ONCE / (len(METHODS) * OVER_FULL * seconds))
        plans = (f"{method}: {{seeds: {min(10, max(1, seeds))}{own}}}" for method, own in METHODS.items())
        methods = ", ".join(plans)
        settings = [f"recipe.lr={rate:g}", f"methods={{{methods}}}"]
    words = ("study", "create", "fashion_gpu", "--space", SPACE, *data, "--skip-if-exists")
    subprocess.run(_words(*words, settings=[*settings, "first_seed=600"]), cwd=part.out, check=True)
    took = _run(part)
    subprocess.run(_words("study", "export", "fashion_gpu"), cwd=part.out, check=True)
    with (part.out / "studies/fashion_gpu/results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "COMPLETE"]
    part.row("study", f"{len(rows)} runs in {took:.0f} s", runs=len(rows))
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        val, top1, flops = (mean(float(row[c]) for row in own) for c in ("val_top1", "top1", "total_flops"))
        text = f"val {val:.2f}, test {top1:.2f}, {flops / 1e12:,.0f} TFLOPs"
        part.row(f"{method}, n={len(own)}", text, val_top1=val, top1=top1, total_flops=flops)


def _run(part: Part) -> float:
    """Run the study until it ends or the part's time does; the seconds that it took."""
    began = time.monotonic()
    workers = "1" if part.toy else str(AT_ONCE)
    words = _words("study", "run", "fashion_gpu", "--workers", workers, "--device", part.device.type)
    process = subprocess.Popen(words, cwd=part.out)
    try:
        process.wait(part.left - 15)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    return time.monotonic() - began


def _learning_rate(part: Part, data: tuple[str, ...]) -> tuple[float, float]:
    """That at which a short `full` validates best, and the seconds that a whole one takes beside as many others."""
    outs = {(rate, seed): part.out / f"rate_{rate:g}_{seed}" for rate in RATES for seed in RATE_SEEDS}
    running = []
    for (rate, seed), out in outs.items():
        words = (
            "train",
            "--space",
            SPACE,
            "--schedule",
            "full",
            *data,
            "--seed",
            str(seed),
            "-o",
            str(out),
        )
        settings = [f"recipe.lr={rate:g}", f"recipe.epochs={RATE_EPOCHS}"]
        running.append(subprocess.Popen(_words(*words, settings=settings), cwd=part.out))
    for process in running:
        process.wait(max(1.0, part.left - 60))
    results = {run: json.loads((out / "result.json").read_text()) for run, out in outs.items()}
    found = {rate: mean(results[rate, seed]["val_top1"] for seed in RATE_SEEDS) for rate in RATES}
    best = max(found, key=lambda rate: found[rate])
    epochs = load_recipe(SPACE).epochs
    seconds = mean(result["wall_seconds"] for result in results.values()) * epochs / RATE_EPOCHS
    told = ", ".join(f"{rate:g}: {top1:.2f}" for rate, top1 in found.items())
    text = f"validation, {RATE_EPOCHS} epochs, n={len(RATE_SEEDS)}: {told}; so {best:g}; {seconds:.0f} s a whole run"
    part.row("learning rate of full", text, val_top1=list(found.items()), seconds=seconds)
    return best, seconds


def _words(*arguments: str, settings: Sequence[str] = ()) -> list[str]:
    set_to = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, "-m", "autoprog_search", *arguments, *set_to]
