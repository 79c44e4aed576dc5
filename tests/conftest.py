"""Quiet, single-threaded and deterministic: the same examples at every run."""

import gc
from collections.abc import Iterator

import optuna
import pytest
import torch
from hypothesis import settings

from tests import fewer

pytest.register_assert_rewrite("autoprog_search.testing")
torch.set_num_threads(1)  # the models are tiny; threads would only compete with pytest-xdist's workers
optuna.logging.set_verbosity(optuna.logging.WARNING)
settings.register_profile("autoprog", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("autoprog")
fewer.evaluate_on_fewer()

gc.disable()  # until all is imported, of which nothing is garbage: to look through it takes a fifth of the time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module")
def all_digits() -> Iterator[None]:
    with fewer.all_digits():
        yield
