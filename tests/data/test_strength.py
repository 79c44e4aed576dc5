"""AdaReg: what the released schedule computes, and that the run follows it."""

from __future__ import annotations

import numpy as np
import pytest

from autoprog_search.data.strength import FULL, strength_at
from autoprog_search.settings.growth import AdaReg
from tests.tiny import levels, tiny_config, tiny_trainer


@pytest.mark.parametrize("stages", [2, 3, 4, 7])
@pytest.mark.parametrize("scale", [0.5, 0.0, 1.0, -0.5])
def test_strength_is_the_released_linspace(scale, stages):
    adareg = AdaReg(augment=scale, drop_path=scale, erasing=scale, crop=scale)
    expected = [max(0.0, v) for v in np.linspace(scale, 1.0, stages)]
    for name in ("augment", "drop_path", "erasing", "crop"):
        values = [getattr(strength_at(adareg, part, stages), name) for part in range(stages)]
        assert values == pytest.approx(expected)


def test_without_it_and_in_a_single_stage_the_recipes_values_hold():
    assert strength_at(None, 0, 4) == FULL
    assert strength_at(AdaReg(), 0, 1) == FULL
    assert strength_at(AdaReg(), 3, 4) == FULL


CONFIG = tiny_config("recipe.drop_path=0.2", "growth.adareg=true", "recipe.epochs=3")


def rates_and_strengths(*pairs: tuple[int, int]) -> list[tuple[float, float]]:
    """(drop-path rate of the last block that ran, strength of the augmentation) of each stage."""
    trainer = tiny_trainer(CONFIG, levels(CONFIG, *pairs))
    seen = []
    train_batches = trainer.run.data.train_batches

    def spy(seed, start, stop, batch_size, resolution, strength=FULL, *part):
        for batch in train_batches(seed, start, stop, batch_size, resolution, strength, *part):
            yield batch
            last = trainer.run.elastic.blocks[trainer.run.elastic.active[-1]]
            seen.append((trainer.run.state.stage, round(last.drop_path2.drop_prob, 6), strength.augment))

    object.__setattr__(trainer.run.data, "train_batches", spy)
    trainer.train()
    return [(rate, strength) for _, rate, strength in sorted(set(seen))]


def test_a_run_that_grows_is_regularised_as_it_grows():
    assert rates_and_strengths((0, 0), (1, 1)) == [(0.0, 0.5), (0.1, 0.75), (0.2, 1.0)]


def test_a_run_at_full_size_has_nothing_to_adapt_to():
    assert rates_and_strengths((2, 2), (2, 2)) == [(0.2, 1.0)] * 3
