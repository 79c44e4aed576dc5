"""Devices by name, and torch's threads for as long as something runs."""

from __future__ import annotations

import pytest
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.training.device import cpu_threads, pick_device


@pytest.mark.parametrize("name", ["meta", "warp", "cpu:x", "cuda:99", "", "xla"])
def test_a_device_that_cannot_compute_is_one_line(name):
    with pytest.raises(ConfigError, match=f"device: '{name}': .") as error:
        pick_device(name)
    assert "\n" not in str(error.value)


def test_the_threads_from_before_come_back_after_an_error():
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with cpu_threads(before + 1):
            inside.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [before + 1]
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="threads: 0 "), cpu_threads(0):
        pass
    assert torch.get_num_threads() == before


def test_a_gpu_becomes_the_current_one(monkeypatch):
    """What torch seeds, records and pins is the current device's."""
    made = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", made.append)
    monkeypatch.setattr(torch, "empty", lambda size, device: torch.zeros(size))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    assert pick_device("auto", 6) == torch.device("cuda:2")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    assert pick_device("cpu") == torch.device("cpu")
    assert made == [torch.device("cuda:2"), torch.device("cuda:1")]
