"""Whatever stands in a file or after `--set`: it is read, or refused in one line, soon. What is accepted can be stored.

`make test` tries a few hundred inputs, `make fuzz` 10,000 (`FUZZ_INPUTS`): the same ones every time, unless
`FUZZ_RANDOM=1` asks for others.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from autoprog_search.errors import AutoProgError, ConfigError
from autoprog_search.methods.fixed import linear
from autoprog_search.schedule import GrowthSchedule
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.identity import study_hash
from autoprog_search.study.resolve import config_from_file, make_config
from autoprog_search.values import dump_yaml, parse_yaml
from tests.fuzz.inputs import Input, corpus, inputs

INPUTS = int(os.environ.get("FUZZ_INPUTS", "300"))
MOST_SECONDS = 2.0
MOST_CHARACTERS = 500

Value = StudyConfig | Recipe | GrowthSpace | GrowthSchedule


class Tally(Counter[str]):
    """How the inputs ended, and the slowest of them."""

    slowest: float = 0.0
    which: str = ""


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Printed at the end."""
    found = Tally()
    yield found
    ends = ", ".join(f"{count:,} {end}" for end, count in sorted(found.items()))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{found.total():,} inputs: {ends}; slowest {found.slowest:.2f} s: {found.which[:100]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the files; what is imported or read once is in memory."""
    make_config("warm", space=None, data={"name": "table:fashion"}, methods=["autoprog"], trials=1, seeds=1)
    return tmp_path_factory.mktemp("fuzz")


def read(given: Input, folder: Path) -> Value:
    """What the package makes of it."""
    if given.kind == "options":
        return make_config(
            "x", space="digits", data={"name": "digits"}, methods=["full"], trials=2, seeds=2, overrides=given.overrides
        )
    path = folder / f"{given.kind}.yaml"
    path.write_bytes(given.data)
    if given.kind == "space":
        return GrowthSpace.load(str(path))
    if given.kind == "recipe":
        return load_recipe(str(path))
    if given.kind == "schedule":
        return GrowthSchedule.from_file(path, patch_size=16)
    return config_from_file(path, "x", overrides=given.overrides)


def plain(value: Value) -> object:
    """As it is stored."""
    return value.to_dict() if isinstance(value, GrowthSchedule) else value.model_dump(mode="json")


def check_accepted(value: Value, reread: object) -> None:
    """It was stored and read back the same; what is computed from it at once is."""
    if isinstance(value, GrowthSchedule):
        assert isinstance(reread, dict)
        assert GrowthSchedule.from_dict(reread, patch_size=16) == value
        return
    assert type(value).model_validate(reread) == value
    if isinstance(value, StudyConfig):
        assert len(study_hash(value)) == 14
    space = value.space if isinstance(value, StudyConfig) else value
    if isinstance(space, GrowthSpace):
        assert len(f"{space.count():,}") < 400
        assert len(linear(space)) == len(space.sample(Random(0))) == space.stages
        assert space.full in space.sub_networks


@settings(
    max_examples=INPUTS,
    derandomize=os.environ.get("FUZZ_RANDOM") is None,
    deadline=None,
    phases=(Phase.generate,),  # an input that is found is told as it is: making it smaller takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(given=inputs())
def test_an_input_is_read_or_refused_in_one_line_soon(given: Input, folder: Path, tally: Tally) -> None:
    began = time.process_time()
    try:
        value = read(given, folder)
        text = dump_yaml(plain(value))  # too much is refused as well
        end = "accepted"
    except AutoProgError as error:
        value, text, end, message = None, "", "refused", str(error)
        assert len(message.splitlines()) == 1, message
        assert message.isprintable(), message
        assert len(message) <= MOST_CHARACTERS, message
    seconds = time.process_time() - began
    assert seconds < MOST_SECONDS, f"{seconds:.1f} s for {given!r:.1000}"
    tally[f"{end} ({given.kind})"] += 1
    if seconds > tally.slowest:
        tally.slowest, tally.which = seconds, repr(given)
    if value is not None:
        check_accepted(value, parse_yaml(text, ConfigError, "stored"))


@pytest.mark.parametrize(("kind", "text"), corpus())
def test_what_is_mutated_is_valid(kind: str, text: str, folder: Path) -> None:
    """Else the fuzzer would only see refusals of what was wrong before."""
    value = read(Input(kind, text.encode()), folder)
    check_accepted(value, parse_yaml(dump_yaml(plain(value)), ConfigError, "stored"))
