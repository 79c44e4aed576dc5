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
