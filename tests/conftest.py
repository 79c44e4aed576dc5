"""Quiet, single-threaded and deterministic: the same examples at every run."""

import multiprocessing

import optuna
import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("autoprog_search.testing")
# Whichever study first runs in this process, the server that its workers are forked from imports torch for all.
multiprocessing.set_forkserver_preload(["autoprog_search.engines.workplace", "autoprog_search.engines.trial"])
torch.set_num_threads(1)  # the models are tiny; threads would only compete with pytest-xdist's workers
optuna.logging.set_verbosity(optuna.logging.WARNING)
settings.register_profile("autoprog", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("autoprog")
