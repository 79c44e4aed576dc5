"""Quiet, single-threaded and deterministic: the same examples at every run."""

import gc
from collections import Counter
from collections.abc import Iterator

import optuna
import pytest
import torch
from hypothesis import settings

from tests import fewer, required

WAITING = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "nonzero")

pytest.register_assert_rewrite("autoprog_search.testing")
torch.set_num_threads(1)  # the models are tiny; threads would only compete with pytest-xdist's workers
optuna.logging.set_verbosity(optuna.logging.WARNING)
settings.register_profile("autoprog", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("autoprog")
fewer.evaluate_on_fewer()

LONG = ("conformance", "engines", "distributed", "training", "cli")  # folders whose files take longest

gc.disable()  # until all is imported, of which nothing is garbage: to look through it takes a fifth of the time


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(required)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that several processes end together."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module")
def all_digits() -> Iterator[None]:
    with fewer.all_digits():
        yield


@pytest.fixture
def waits(monkeypatch):
    """How often values were brought to the host, by the name of what brought them."""
    found: Counter[str] = Counter()

    def counting(name):
        own = getattr(torch.Tensor, name)

        def counted(tensor, *arguments, **options):
            found[name] += 1
            return own(tensor, *arguments, **options)

        return counted

    for name in WAITING:
        monkeypatch.setattr(torch.Tensor, name, counting(name))
    return found


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL server of the module's own."""
    from tests.postgres import running_server

    with running_server() as server:
        yield server
