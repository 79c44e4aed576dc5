"""Growth schedules in Ray Tune: the space as Tune's search space, beside a parameter of your own.

    pip install 'autoprog-search[ray]'
    python ray_tune.py                        # TPE chooses the schedule before each trial
    python ray_tune.py --schedule autoprog    # AutoProg chooses it inside each trial, TPE what is yours

Tune asks OptunaSearch for all of a trial's numbers before it begins, and AutoProg chooses from estimates of the run in
progress: so `train` asks AutoProg in the trial, and the search sees only what is left to it.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from autoprog_search import AutoProgSampler, GrowthSpace, train
from autoprog_search.methods.tune import tune_space, tuned_schedule
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe

SPACE = GrowthSpace.load("digits")


def trainable(config: dict) -> None:
    """Train once; validation accuracy and FLOPs."""
    recipe = load_recipe("digits").model_copy(update={"lr": config["lr"], "epochs": config["epochs"]})
    data = DataConfig(name="digits", train_share=0.3)  # a third of the images, so that it takes a minute
    found = "autoprog" if config["inside"] else tuned_schedule(SPACE, config, config["epochs"])
    row = train(SPACE, data, schedule=found, recipe=recipe)
    tune.report({name: row[name] for name in ("val_top1", "total_flops", "depths", "patches")})


def main() -> None:
    parser = argparse.ArgumentParser(description="Search growth schedules on the embedded digits with Ray Tune.")
    parser.add_argument("--schedule", choices=("tpe", "autoprog"), default="tpe")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()

    inside = args.schedule == "autoprog"
    search_space = {"lr": tune.loguniform(1e-3, 4e-3)} | ({} if inside else tune_space(SPACE))
    search = OptunaSearch(sampler=AutoProgSampler(seed=0))  # its base sampler, TPE, answers whatever it is asked here
    tuner = tune.Tuner(
        trainable,
        param_space={**search_space, "epochs": args.epochs, "inside": inside},
        tune_config=tune.TuneConfig(metric="val_top1", mode="max", search_alg=search, num_samples=args.trials),
        run_config=tune.RunConfig(storage_path=str(Path("ray_results").resolve())),
    )
    for result in tuner.fit():
        if result.error:
            raise SystemExit(f"a trial failed: {result.error}")
        row = result.metrics
        schedule = f"depths {row['depths']}, patches {row['patches']}"
        print(f"{schedule}: {row['total_flops']:.2e} FLOPs, {row['val_top1']:.1f} %")


if __name__ == "__main__":
    # Without a name Ray would also try the last cluster that ran on this machine, and wait for it.
    ray.init(os.environ.get("RAY_ADDRESS", "local"))
    main()
