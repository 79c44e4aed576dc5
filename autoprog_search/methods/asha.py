"""Early stopping by successive halving, over cost instead of epochs: ASHA's decisions, taken by Optuna's pruner.

Source: Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020. A rung is an amount of FLOPs
spent, since an epoch of one schedule costs several of another: whoever reaches a rung is compared, by validation
accuracy at the first epoch's end from there on, with all who reached it before, and goes on if it is among the best
half. As in Optuna, nobody who was stopped is taken up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import SuccessiveHalvingPruner

FIRST_RUNG = 0.1  # of full's cost; the next are at 0.2, 0.4 and 0.8
# The paper's and Optuna's own 4 would let a trial go on only if it is the best so far, in a study of 8 trials a seed.
REDUCTION_FACTOR = 2

Curve = Sequence[Mapping[str, Any]]
"""A run's epochs, of each at least `flops` spent so far and `val_top1`."""


def stops(curve: Curve, earlier: Iterable[Curve], full_flops: float) -> bool:
    """Whether a trial ends at the last point of its curve.

    A pure function, so that an interrupted trial is judged the same again: the pruner sees all that was reported, in
    the order of the trials, in a study of its own with accuracy as the one objective (Optuna prunes no others).

    Args:
        earlier: curves of the trials before it, wherever they ended.
        full_flops: what training the full network as long costs.
    """
    pruner = SuccessiveHalvingPruner(
        min_resource=max(1, round(FIRST_RUNG * full_flops)), reduction_factor=REDUCTION_FACTOR
    )
    study = optuna.create_study(direction="maximize", pruner=pruner)
    return [_replay(study, each) for each in (*earlier, curve)][-1]


def _replay(study: optuna.Study, curve: Curve) -> bool:
    trial = study.ask()
    for point in curve:
        trial.report(point["val_top1"], step=int(point["flops"]))
        if trial.should_prune():
            return True
    return False
