"""Growth settings: which of them decide on which space."""

from __future__ import annotations

import pytest

from autoprog_search.settings.growth import ON_THE_CLOCK
from tests.tiny import tiny_config

ONE_SIZE = "space.resolutions=[16]"


@pytest.mark.parametrize(
    ("space", "deciding"),
    [
        ((), set()),
        (("space.clock=free",), {"probe_share", "patches_mixing"}),
        (("space.clock=free", "space.patches_by=patch_size"), {"probe_share", "patches_mixing"}),
        (("space.clock=free", "space.patches_by=dropout"), {"all_patches_steps"}),
        (("space.clock=free", ONE_SIZE), {"probe_share", "depth_mixing"}),
        (("space.clock=free", "space.patches_by=dropout", ONE_SIZE), {"probe_share", "depth_mixing"}),
    ],
)
def test_what_times_a_growth_depends_on_what_grows(space, deciding):
    def decisive(*settings: str) -> object:
        config = tiny_config("recipe.epochs=8", *space, *settings)
        return config.growth.decisive(config.space)

    changed = {name for name in ON_THE_CLOCK if decisive(f"growth.search.{name}=0.111") != decisive()}
    assert changed == deciding
