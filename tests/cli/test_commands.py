"""The command line as a user meets it: output on stdout, one line for what is wrong, exit codes, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import timm
import torch
import yaml
from click.testing import CliRunner
from timm.data import create_dataset, create_transform, resolve_data_config

from autoprog_search.cli.main import cli as command_line
from autoprog_search.runs.growths import AT_ONCE, growth_text
from autoprog_search.space import PRESETS, TICKS
from autoprog_search.study.store import open_study
from tests.data.files import make_fashion_mnist, make_images
from tests.fewer import all_digits
from tests.forked import start
from tests.tiny import TINY, cli, cli_here, run_here, set_to, without_measuring


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a created study, an empty data folder, and files that are wrong in one way each."""
    path = tmp_path_factory.mktemp("cli")
    done = cli_here("study", "create", "there", "--config", TINY, cwd=path)
    assert done.returncode == 0, done.stderr
    for name in ("train", "val"):
        (path / "empty" / name).mkdir(parents=True)
    stages = {
        "shrinks": [(1, 6, 24), (1, 5, 24)],
        "too_deep": [(1, 4, 12), (1, 13, 24)],
        "not_full": [(1, 4, 12), (1, 5, 24)],
    }
    for name, rows in stages.items():
        lines = [f"- {{epochs: {e}, depth: {d}, resolution: {r}}}" for e, d, r in rows]
        (path / f"{name}.yaml").write_text("stages:\n" + "\n".join(lines) + "\n")
    (path / "no_square.yaml").write_text("stages:\n- {epochs: 1, depth: 4, patches: 10}\n")
    (path / "not_yaml.yaml").write_text("stages: [")
    (path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    base = "{depth: 12, resolution: 224, patch_size: 16, depths: [6, 12], resolutions: [112, 224], recipe: digits"
    (path / "space_model.yaml").write_text(base + ", model: no_such_model}")
    (path / "space_deep.yaml").write_text(
        base.replace("depth: 12", "depth: 13").replace("[6, 12]", "[6, 13]") + ", model: deit_tiny_patch16_224}"
    )
    (path / "space_level.yaml").write_text(base.replace("[6, 12]", "[6, 13]") + ", model: deit_tiny_patch16_224}")
    (path / "space_square.yaml").write_text(
        base.replace("resolutions: [112, 224]", "patches: [50, 196]") + ", model: deit_tiny_patch16_224}"
    )
    return path


TRAIN = ("train", "--space", "digits", "-o", "out", "--device", "cpu")
WRONG = {
    "unknown model": (("train", "--space", "space_model.yaml", "-o", "out"), ["model", "'no_such_model'"]),
    "depth above the model's": (
        ("train", "--space", "space_deep.yaml", "-o", "out"),
        ["depth", "13 is above deit_tiny_patch16_224's 12"],
    ),
    "level above the full depth": (("space", "validate", "space_level.yaml"), ["depths", "13", "12"]),
    "patches no square": (("space", "validate", "space_square.yaml"), ["patches", "50", "49", "64"]),
    "schedule shrinks": ((*TRAIN, "--schedule", "shrinks.yaml"), ["stage 2", "5 blocks", "never shrinks"]),
    "schedule too deep": ((*TRAIN, "--schedule", "too_deep.yaml"), ["stage 2", "depth", "13", "6"]),
    "schedule not full": ((*TRAIN, "--schedule", "not_full.yaml"), ["stage 2", "full network"]),
    "schedule no square": ((*TRAIN, "--schedule", "no_square.yaml"), ["stage 1", "10 is not a square"]),
    "schedule no YAML": ((*TRAIN, "--schedule", "not_yaml.yaml"), ["not_yaml.yaml", "cannot be read"]),
    "schedule binary": ((*TRAIN, "--schedule", "binary.yaml"), ["binary.yaml", "cannot be read"]),
    "schedule unknown": ((*TRAIN, "--schedule", "spiral"), ["schedule", "'spiral'", "linear"]),
    "study exists": (("study", "create", "there", "--config", TINY), ["name", "'there'", "exists"]),
    "study name with slash": (("study", "create", "a/b", "--space", "digits"), ["name", "'a/b'"]),
    "study name with dots": (("study", "create", "..", "--space", "digits"), ["name", "'..'"]),
    "study missing": (("study", "run", "nowhere"), ["name", "'nowhere'", "study list"]),
    "study not run yet": (("study", "compare", "there"), ["'there'", "no finished trial"]),
    "margin of nothing": (("study", "compare", "there", "--margin", "0"), ["margin", "0", "above 0", "100 points"]),
    "margin no number": (("study", "report", "there", "--margin", "nan"), ["margin", "nan", "above 0"]),
    "space missing": (("space", "show", "nothing"), ["space", "'nothing'", "digits"]),
    "accelerator unknown": (("space", "show", "digits", "--device", "h101"), ["device", "'h101'", "h100", "mi300x"]),
    "utilisation above 1": (
        ("space", "show", "digits", "--device", "h100", "--utilisation", "35"),
        ["utilisation", "35.0", "up to 1"],
    ),
    "prediction without accelerator": (("space", "show", "digits", "--devices", "8"), ["--devices", "--device"]),
    "epochs below stages": (("space", "show", "digits", "--epochs", "3"), ["epochs", "3", "stage 1 of 4"]),
    "a family that takes no larger patches": (
        ("study", "create", "x", "--space", "volo_d1_04", *set_to("space.patches_by=patch_size")),
        ["patches_by", "VOLO", "give resolution"],
    ),
    "a family that drops no patches": (
        ("study", "create", "x", "--space", "volo_d1_04", *set_to("space.patches_by=dropout")),
        ["patches_by", "VOLO has no patch dropout", "give resolution"],
    ),
    "no space given": (("study", "create", "x"), ["--space"]),
    "data missing": (
        ("train", "--space", "deit_tiny", "--data", "nowhere", "-o", "out"),
        ["data", "'nowhere'"],
    ),
    "data empty": (("train", "--space", "deit_tiny", "--data", "empty", "-o", "out"), ["data", "empty"]),
    "epochs that are no number": (("space", "show", "digits", "--epochs", "nan"), ["epochs", "nan", "above 0"]),
    "epochs without end": (("space", "show", "digits", "--epochs", "9" * 4000), ["epochs", "1,000,000"]),
    "images without end": (("space", "show", "digits", "--device", "h100", "--images", "9" * 400), ["images", "9..."]),
    "devices without end": (
        ("space", "show", "digits", "--device", "h100", "--devices", "9" * 400),
        ["devices", "9..."],
    ),
    "seed without end": ((*TRAIN, "--seed", str(2**32)), ["seed", str(2**32), "4,294,967,295"]),
    "workers without end": (("study", "run", "there", "--workers", "1000000"), ["--workers", "1024"]),
    "a space that is a folder": (("space", "validate", "."), ["space", "'.'"]),
    "a space file that is none": (("space", "validate", "/dev/null/x.yaml"), ["cannot be read"]),
    "a field of the recipe misspelt": ((*TRAIN, "--set", "recipe.epoch=3"), ["recipe.epoch", "did you mean epochs?"]),
    "a value with a tag": ((*TRAIN, "--set", "recipe.epochs=!!bool x"), ["recipe.epochs", "!!bool"]),
    "threads without end": (
        ("study", "create", "x", "--space", "digits", "--set", "threads=1e6"),
        ["threads", "1024", "1000000"],
    ),
    "device unknown": (("train", "--space", "digits", "-o", "out", "--device", "warp"), ["device", "'warp'"]),
    "recipe field": ((*TRAIN, "--set", "recipe.lr=fast"), ["recipe.lr", "'fast'"]),
    "no threads": ((*TRAIN, "--threads", "0"), ["--threads", "0"]),
    "a study's field": ((*TRAIN, "--set", "tolerance=1"), ["tolerance=1", "a study's", "recipe, growth, threads"]),
    "epochs below the schedule's": (
        (*TRAIN, "--schedule", "linear", "--set", "recipe.epochs=1"),
        ["epochs: 1", "stage 1 of"],
    ),
    "optimiser unknown": ((*TRAIN, "--set", "recipe.opt=warp"), ["opt", "'warp'"]),
    "root is a file": (("--root", "shrinks.yaml", "study", "create", "x", "--space", "digits"), ["shrinks.yaml"]),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line_and_exit_code_2(arguments, folder):
    command, words = arguments
    before = sorted(p.name for p in folder.iterdir())
    check_one_line(cli_here(*command, cwd=folder), words)
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["study missing", "schedule no YAML"])
def test_wrong_input_ends_a_process_alike(name, folder):
    """What is met only once torch is imported, in a process that has it (and of an import's own noise, see below)."""
    command, words = WRONG[name]
    if name == "study missing":
        check_one_line(cli(*command, cwd=folder), words)
        return
    process = start(*command, cwd=folder)
    _, said = process.communicate(timeout=60)
    check_one_line(subprocess.CompletedProcess(command, process.returncode, "", said), words)


def check_one_line(done, words) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert len(lines) == 1, done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert done.stdout == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(folder, tmp_path):
    tmp_path.chmod(0o500)
    done = cli_here("--root", tmp_path / "studies", "study", "create", "x", "--space", "digits", cwd=folder)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_folder_that_cannot_be_made(folder):
    """The same for root, whom no permission stops: /proc takes no folder."""
    done = cli_here("--root", "/proc/studies", "study", "create", "x", "--space", "digits", cwd=folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "/proc/studies" in done.stderr
    assert "cannot be written" in done.stderr


def test_loss_that_is_not_finite_is_a_failed_run(tmp_path):
    wrong = ("--set", "recipe.lr=1e18", "--set", "recipe.warmup_share=0", "--set", "recipe.epochs=4")
    done = cli_here(*TRAIN, "--schedule", "linear", *wrong, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: loss: not finite at step")
    assert "Traceback" not in done.stderr


def test_train_leaves_weights_schedule_and_result(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "stages:\n- {epochs: 0.5, depth: 4, resolution: 12}\n- {epochs: 0.5, depth: 6, resolution: 24}\n"
    )
    few = ("--set", "data.train_share=0.1")
    with all_digits():
        done = cli_here(*TRAIN, "--schedule", "s.yaml", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "out/weights.safetensors"
    row = json.loads((tmp_path / "out/result.json").read_text())
    assert (row["depths"], row["resolutions"]) == ([4, 6], [12, 24])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "result.json",
        "schedule.yaml",
        "weights.safetensors",
    ]
    assert "stage 2/2, 6 blocks x 36 patches" in done.stderr
    assert "warning" not in done.stderr.lower()
    with all_digits():
        again = cli_here(*TRAIN, "--schedule", "out/schedule.yaml", *few, "--json", cwd=tmp_path)
    assert "stage 2/2" in again.stderr
    printed = json.loads(again.stdout)
    assert printed == json.loads((tmp_path / "out/result.json").read_text())
    assert printed["curve"] == row["curve"]  # what ran is a schedule file, and gives the same network


def test_train_under_a_free_clock_says_when_it_grew(tmp_path):
    short = ("space.clock=free", "data.train_share=0.1", "recipe.batch_size=20", "recipe.epochs=8")
    (tmp_path / "tiny.yaml").write_text(yaml.dump(yaml.safe_load(TINY.read_text())["space"]))
    done = cli_here("train", "--space", "tiny.yaml", *set_to(*short), "-o", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("grew to ")]
    assert growth_text(json.loads((tmp_path / "out/result.json").read_text())["clock"]) == line
    assert line.count("mixing expected") == 1


def test_train_says_that_a_run_is_too_short_to_grow(tmp_path):
    short = (
        "space.clock=free",
        "space.patches_by=dropout",
        "data.train_share=0.1",
        "recipe.batch_size=20",
        "recipe.epochs=8",
    )
    (tmp_path / "tiny.yaml").write_text(yaml.dump(yaml.safe_load(TINY.read_text())["space"]))
    done = cli_here("train", "--space", "tiny.yaml", *set_to(*short), "--device", "cpu", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"\n{AT_ONCE}\n" in done.stdout


def test_a_folder_of_jpegs_is_trained_to_weights_that_timm_loads_and_evaluates_alike(tmp_path):
    """To the accuracy that was reported, by timm's own data set and transforms as the model's name resolves them."""
    sizes = {"train": 24, "val": 4, "test": 20}
    make_images(tmp_path / "photos", **{split: dict.fromkeys("abc", size) for split, size in sizes.items()})
    (tmp_path / "small.yaml").write_text(
        "model: deit_tiny_patch16_224\n"
        "model_args: {img_size: 32, patch_size: 8, embed_dim: 16, depth: 4, num_heads: 2}\n"
        "depth: 4\nresolution: 32\npatch_size: 8\ndepths: [2, 4]\nresolutions: [16, 32]\nstages: 2\n"
    )
    recipe = [f"recipe.{field}" for field in ("epochs=6", "batch_size=24", "lr=3e-3", "auto_augment=null", "repeats=1")]
    settings = set_to(*recipe)
    where = ("--data", "photos", "--set", "data.workers=1", "--device", "cpu", "-o", "out")
    done = cli_here("train", "--space", "small.yaml", "--schedule", "linear", *where, *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "waited for images" in done.stderr
    row = json.loads((tmp_path / "out/result.json").read_text())
    assert "timm.create_model(model_name='deit_tiny_patch16_224', num_classes=3, img_size=32" in done.stdout

    model = timm.create_model(**row["create_model"], checkpoint_path=str(tmp_path / "out/weights.safetensors")).eval()
    config = {**resolve_data_config({}, model=model), "input_size": (3, 32, 32)}
    images = create_dataset("", root=str(tmp_path / "photos" / "test"), transform=create_transform(**config))
    with torch.inference_mode():
        hits = [int(model(image[None]).argmax()) == label for image, label in images]
    assert row["top1"] == pytest.approx(100 * sum(hits) / len(hits))
    assert 34 < row["top1"] < 100  # it has learnt something, and is not so good that any weights would do


@pytest.mark.slow
def test_a_fashion_mnist_study_ends_in_a_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "idx").mkdir()
    make_fashion_mnist(tmp_path / "idx", train=700, test=50)
    small = ("recipe.epochs=2", "recipe.batch_size=90", "space.model_args.embed_dim=8", "space.stages=2")
    levels = ("space.depths=[3,6]", "space.patches=[16,49]")
    settings = set_to(*small, *levels)
    data = ("--data", "fashion_mnist", "--data-root", "idx")
    plan = ("--methods", "full,linear", "--seeds", "1")
    done = cli_here("study", "create", "f", "--space", "fashion_mnist", *data, *plan, *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run_here(without_measuring(open_study(tmp_path / "studies", "f")))
    done = cli_here("study", "run", "f", "--workers", "1", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(cli_here("study", "compare", "f", "-f", "json", cwd=tmp_path).stdout)
    assert [row["method"] for row in rows] == ["full", "linear"]
    assert rows[1]["speedup_flops"] > 1.3
    assert (rows[1]["margin"], rows[1]["p_margin"], rows[1]["seeds_if_equal"]) == (0.5, None, None)
    first, second, *_ = cli_here("study", "compare", "f", cwd=tmp_path).stdout.splitlines()
    assert first.startswith("full, the reference: test accuracy ")
    assert second.endswith("points, one seed. That is not enough to tell a difference from chance.")


def test_space_list_and_show(folder):
    presets = json.loads(cli_here("space", "list", "-f", "json", cwd=folder).stdout)
    assert {"digits", "deit_tiny", "volo_d1_05"} <= {row["name"] for row in presets}
    rows = json.loads(cli_here("space", "show", "volo_d1_04", "-f", "json", cwd=folder).stdout)
    assert [(row["depth"], row["resolution"]) for row in rows] == [(7, 96), (11, 128), (14, 192), (18, 224)]
    assert [row["cost"] < 1 for row in rows] == [True, True, True, False]
    shown = cli_here("space", "show", "volo_d1_05", cwd=folder).stdout
    assert "9, 12, 15, 18" in shown
    assert "at most" in shown


def test_space_show_says_how_large_patches_are(tmp_path):
    fields = (PRESETS / "fashion_full.yaml").read_text()
    (tmp_path / "cut.yaml").write_text(f"{fields}\npatches_by: patch_size\n")
    shown = cli_here("space", "show", "cut.yaml", cwd=tmp_path).stdout
    assert "resolutions: 42, 40, 40 px" in shown
    assert "patches of 14, 10, 8 px: 9, 16, 25;" in shown
    assert "patches of 8 px: 9, 16, 25;" in cli_here("space", "show", "fashion_full", cwd=tmp_path).stdout
    (tmp_path / "dropped.yaml").write_text(f"{fields}\npatches_by: dropout\n")
    dropped = cli_here("space", "show", "dropped.yaml", cwd=tmp_path).stdout
    assert "resolutions: 40 px\npatches of 8 px: 9, 16, 25, kept at random while training;" in dropped


def test_space_show_has_the_linear_schedules_stages_under_a_free_clock_too(tmp_path):
    fields = yaml.safe_load((PRESETS / "digits.yaml").read_text())
    (tmp_path / "free.yaml").write_text(
        yaml.safe_dump({**fields, "clock": "free", "stage_lengths": [0.4, 0.2, 0.2, 0.2]})
    )
    rows = json.loads(cli_here("space", "show", "free.yaml", "--epochs", "1.5", "-f", "json", cwd=tmp_path).stdout)
    assert [row["stage"] for row in rows] == [1, 2, 3, 4]
    assert [row["share"] for row in rows] == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=1 / TICKS)
    shown = cli_here("space", "show", "free.yaml", "--epochs", "2", cwd=tmp_path).stdout
    assert "2 epochs: linear" in shown
    assert "its probe adds" in shown


def test_space_show_predicts_runs_on_an_accelerator():
    options = ("--device", "a100", "--devices", "8", "--utilisation", "0.5", "--epochs", "100", "--images", "1000000")

    def show(fmt: str) -> str:
        done = CliRunner().invoke(command_line, ["space", "show", "deit_tiny", *options, "-f", fmt])
        assert done.exit_code == 0
        return done.stdout

    document = json.loads(show("json"))
    full, linear, cheapest = document["schedules"]
    # DeiT-T is 1.25 G multiply-adds; a step is 3 passes, of 2 FLOPs each.
    assert full["gpu_hours"] == pytest.approx(100 * 1e6 * 6 * 1.2537e9 / (312e12 * 0.5) / 3600, rel=1e-3)
    assert full["seconds"] == pytest.approx(full["gpu_hours"] * 3600 / 8)
    assert cheapest["speedup"] > linear["speedup"] > full["speedup"] == 1
    assert document["stages"][-1]["images_per_second"] == pytest.approx(1e8 / full["gpu_hours"] / 3600, rel=1e-3)
    assert document["prediction"]["accelerator"]["name"] == "NVIDIA A100 SXM"
    assert document["prediction"]["images_per_step"] == 1024 / 8
    assert "a step's 1,024 images are 128 each" in show("table")
    assert f"{linear['speedup']:.2f}×" in show("table")
    assert "predicted, not measured: 312 TFLOPs/s bfloat16 peak x utilisation 0.5" in show("table")
    assert [line.split(",")[0] for line in show("csv").splitlines()] == ["schedule", "full", "linear", "cheapest"]


def test_devices_that_do_not_divide_the_batch_share_a_study():
    words = ["space", "show", "deit_small", "--device", "h100", "--devices", "6"]
    shown = CliRunner().invoke(command_line, words)
    assert shown.exit_code == 0
    assert "6 share a study's trials; a step's 1,024 images do not divide among them" in shown.stdout
    (verdict,) = [line for line in shown.stdout.splitlines() if line.startswith("recipe.compile: ")]
    assert "4 patch counts take about 16 s to compile" in verdict
    assert verdict.endswith("pays back")
    few = CliRunner().invoke(command_line, [*words, "--images", "2000"]).stdout
    assert "does not pay back; leave it off" in few


def test_space_show_help_states_the_defaults():
    from autoprog_search.analysis.planning import ACCELERATORS, IMAGENET_IMAGES, Resources

    text = " ".join(CliRunner().invoke(command_line, ["space", "show", "--help"]).stdout.split())
    planned = Resources(ACCELERATORS["h100"])
    assert all(f"{value}." in text for value in (f"Default: {planned.devices}", planned.utilisation, IMAGENET_IMAGES))


def test_study_list_show_and_delete(tmp_path):
    done = cli_here("study", "create", "s", "--space", "digits", "--trials", "3", "--seeds", "2", cwd=tmp_path)
    assert done.returncode == 0
    (listed,) = json.loads(cli_here("study", "list", "-f", "json", cwd=tmp_path).stdout)
    assert (listed["name"], listed["finished"]) == ("s", "0/8")
    shown = json.loads(cli_here("study", "show", "s", "-f", "json", cwd=tmp_path).stdout)
    assert {row["state"] for row in shown} == {"WAITING"}
    assert cli_here("study", "delete", "s", "--yes", cwd=tmp_path).returncode == 0
    assert json.loads(cli_here("study", "list", "-f", "json", cwd=tmp_path).stdout) == []


def test_every_command_has_help(folder):
    groups = {"study": ["create", "run", "show", "list", "export", "delete", "compare", "plot", "report"]}
    groups |= {"space": ["list", "show", "validate"], "config": ["list", "show"], "train": [""], "demo": [""]}
    for group, commands in groups.items():
        for command in commands:
            done = cli_here(*filter(None, (group, command)), "--help", cwd=folder)
            assert done.returncode == 0
            assert len(done.stdout.splitlines()) > 4
