"""A learning rate across trials, a growth schedule inside each: three short trainings on scikit-learn digits."""

import optuna
import optunahub

from autoprog_search import train
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe

module = optunahub.load_module("samplers/autoprog")


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Train once; FLOPs and validation accuracy."""
    rate = trial.suggest_float("lr", 1e-3, 4e-3, log=True)
    recipe = load_recipe("digits").model_copy(update={"lr": rate, "epochs": 12})
    found = train("digits", DataConfig(name="digits", train_share=0.3), trial=trial, recipe=recipe)
    return found["total_flops"], found["val_top1"]


study = optuna.create_study(sampler=module.AutoProgSampler(seed=0), directions=["minimize", "maximize"])
study.optimize(objective, n_trials=3)
print([(trial.values, trial.params) for trial in study.best_trials])
