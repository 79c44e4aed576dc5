"""TPE against uniform draws on the growth schedules of a small vision Transformer."""

import optuna
import optunahub

problem = optunahub.load_module("benchmarks/growth_schedules").Problem(seed=0)
for sampler in (optuna.samplers.TPESampler(seed=0), optuna.samplers.RandomSampler(seed=0)):
    study = optuna.create_study(sampler=sampler, directions=problem.directions)
    study.set_metric_names(list(problem.metric_names))
    study.optimize(problem, n_trials=12)
    print(type(sampler).__name__, sorted(trial.values for trial in study.best_trials))
