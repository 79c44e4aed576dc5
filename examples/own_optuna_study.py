"""AutoProg in an Optuna study of your own: it chooses the schedule inside each run, its base sampler what is yours."""

import optuna

from autoprog_search import AutoProgSampler, train
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Train once; FLOPs and validation accuracy."""
    rate = trial.suggest_float("lr", 1e-3, 4e-3, log=True)  # yours: TPE answers, across trials
    recipe = load_recipe("digits").model_copy(update={"lr": rate, "epochs": 12})
    data = DataConfig(name="digits", train_share=0.3)  # a third of the images, so that it takes a minute
    found = train("digits", data, trial=trial, recipe=recipe, seed=trial.number)  # AutoProg answers, inside the run
    return found["total_flops"], found["val_top1"]


study = optuna.create_study(sampler=AutoProgSampler(seed=0), directions=["minimize", "maximize"])
study.optimize(objective, n_trials=3)
for trial in study.trials:
    print(f"trial {trial.number}: {trial.values[0]:.2e} FLOPs, {trial.values[1]:.1f} %, {trial.params}")
