"""docs/tutorial.md, from a folder of images to a comparison: all that it shows is run, with a small network."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from autoprog_search.study.store import open_study
from tests.tiny import cli_here, run_here, set_to, without_measuring

PAGE = (Path(__file__).parent.parent / "docs/tutorial.md").read_text()
SMALL = set_to(
    "recipe.epochs=2",
    "data.train_share=0.1",
    "recipe.batch_size=9",
    "space.model_args.embed_dim=12",
    "space.stages=2",
    "space.depths=[3,6]",
    "space.patches=[16,64]",
)

pytestmark = pytest.mark.slow  # one trains what the others look at


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where its images and its space are made."""
    folder = tmp_path_factory.mktemp("tutorial")
    made = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        exec(made, {})
    (folder / "photos.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)[0])
    return folder


def test_its_commands_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    commands = re.findall(r"^autoprog-search (.*)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 9
    for line in commands:
        words = shlex.split(line)
        if words[:2] == ["study", "run"]:  # in this process: torch and timm take seconds to import
            run_here(without_measuring(open_study(folder / "studies", words[2])))
        small = [*SMALL, *set_to("methods.linear.seeds=1", "methods.autoprog.seeds=1", "methods.full-short.seeds=1")]
        extra = {"train": SMALL, "create": [*small, *set_to("methods.full.seeds=1")]}
        done = cli_here(*words, *extra.get(words[0], extra.get(words[1], [])), cwd=folder)
        assert done.returncode == 0, (line, done.stderr)
    assert (folder / "studies/photos/report.html").exists()


def test_it_says_what_the_space_says(folder):
    """The two lines on what can be saved, as they stand on the page."""
    done = cli_here("space", "show", "photos.yaml", cwd=folder)
    (said,) = re.findall(r"```\n(speed-up.*?)\n```", PAGE, flags=re.DOTALL)
    assert done.stdout.rstrip().endswith(said)


def test_its_weights_load(folder):
    """With the lines on the page, where the network is not the tests' small one."""
    (load,) = re.findall(r"```python\n(model = .*?)```", PAGE, flags=re.DOTALL)
    import timm

    names = {"timm": timm}
    small = load.replace("embed_dim=48", "embed_dim=12").replace('"runs/', f'"{folder}/runs/')
    exec(small, names)
    assert names["model"].num_classes == 10
