"""Quiet, single-threaded and deterministic: the same examples at every run."""

import optuna
import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("autoprog_search.testing")
torch.set_num_threads(1)  # the models are tiny; threads would only compete with pytest-xdist's workers
optuna.logging.set_verbosity(optuna.logging.WARNING)
settings.register_profile("autoprog", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("autoprog")
