"""The examples run as they are, on fewer digits, and stay as short as promised."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optuna
import pytest
import timm
import torch
from PIL import Image
from sklearn import datasets
from sklearn.utils import Bunch
from timm.data import create_dataset, create_transform
from torch.utils.data import default_collate

from autoprog_search import ElasticModel, SubNetwork
from autoprog_search.study import creation
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import open_study
from tests.ray_cluster import MISSING, QUIET
from tests.tiny import environment, without_measuring

EXAMPLES = Path(__file__).parent.parent / "examples"


def value(line: str, name: str) -> float:
    """The number that follows a name in a printed line."""
    return float(line.split(f"{name} ")[1].split(" ")[0].rstrip(","))


@pytest.fixture
def few_digits(monkeypatch):
    """A third of the digits, for examples that take all there are."""
    digits = datasets.load_digits()
    few = Bunch(images=digits.images[:600], target=digits.target[:600])
    monkeypatch.setattr(datasets, "load_digits", lambda: few)


@pytest.mark.slow
def test_own_loop(few_digits, tmp_path, monkeypatch, capsys):
    assert len((EXAMPLES / "own_loop.py").read_text().splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "own_loop.py"))
    losses = [value(line, "loss") for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    weights = torch.load(tmp_path / "digits_vit.pt", weights_only=True)
    assert sum(name.endswith("attn.qkv.weight") for name in weights) == 6


@pytest.mark.slow
def test_own_optuna_study(monkeypatch, capsys):
    """Whoever is asked for the learning rate, AutoProg answers for the stages, of which the study has every one."""
    optimize = optuna.Study.optimize
    monkeypatch.setattr(optuna.Study, "optimize", lambda study, objective, n_trials: optimize(study, objective, 1))
    study = runpy.run_path(str(EXAMPLES / "own_optuna_study.py"))["study"]
    (trial,) = study.trials
    axes = ("depth", "patches")
    assert set(trial.params) == {"lr"} | {f"stage{k}_{axis}_level" for k in (1, 2, 3) for axis in axes}
    assert 1e-3 <= trial.params["lr"] <= 4e-3
    assert capsys.readouterr().out.startswith(f"trial 0: {trial.values[0]:.2e} FLOPs")


@pytest.fixture
def image_folder(tmp_path):
    """32 px JPEGs of three classes that differ in brightness."""
    random = np.random.default_rng(0)
    for split, count in {"train": 32, "val": 8}.items():
        for name, level in {"bright": 215, "dark": 40, "grey": 128}.items():
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return tmp_path / "images"


@pytest.mark.slow
def test_timm_train(tmp_path, image_folder, monkeypatch, capsys):
    assert len((EXAMPLES / "timm_train.py").read_text().splitlines()) <= 125
    tiny = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
    (tmp_path / "schedule.yaml").write_text(
        """stages:
        - {epochs: 1, depth: 2, resolution: 16}
        - {epochs: 1, depth: 3, resolution: 24}
        - {epochs: 2, depth: 4, resolution: 32}"""
    )
    words = (
        *("timm_train.py", "--data-dir", str(image_folder), "--schedule", "schedule.yaml"),
        *("--output", "run", "--workers", "0"),
        *("--model", "vit_tiny_patch16_224", "--model-kwargs", *(f"{key}={size}" for key, size in tiny.items())),
        *("--epochs", "8", "--batch-size", "16", "--lr", "3e-3", "--warmup-epochs", "1", "--model-ema-decay", "0.9"),
        *("--mixup", "0.2", "--device", "cpu"),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*words])
    runpy.run_path(str(EXAMPLES / "timm_train.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    ran = [line.split(",")[0] for line in lines]
    stages = [SubNetwork(2, 4)] * 2 + [SubNetwork(3, 9)] * 2 + [SubNetwork(4, 16)] * 4
    assert ran == [str(sub_network) for sub_network in stages]  # of 4 epochs, stretched to 8
    rates = [value(line, "lr") for line in lines]
    assert rates[:6] == [3e-3] * 6  # warmed up once, and unbroken by growth
    assert rates[-1] < rates[-2] < 3e-3

    weights = tmp_path / "run" / "model.safetensors"
    model = timm.create_model("vit_tiny_patch16_224", checkpoint_path=str(weights), num_classes=3, **tiny).eval()
    transform = create_transform(32, mean=model.pretrained_cfg["mean"], std=model.pretrained_cfg["std"])
    images, labels = default_collate(list(create_dataset("", image_folder, "validation", transform=transform)))
    with torch.no_grad():
        assert (model(images).argmax(-1) == labels).float().mean() > 0.8


@pytest.mark.services
@pytest.mark.usefixtures("all_digits")
def test_nni_experiment(tmp_path, monkeypatch, capsys):
    """On NNI's local training service, each of whose trials imports everything anew: one tells that all is wired."""
    pytest.importorskip("nni_node")
    pytest.importorskip("pytorch_lightning")
    monkeypatch.setenv("HOME", str(tmp_path))  # where NNI keeps its list of experiments
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    made = creation.create_study
    monkeypatch.setattr(creation, "create_study", lambda *args, **kw: without_measuring(made(*args, **kw)))
    options = ("--strategy", "grid", "--trials", "1", "--epochs", "4", "--port", str(free_port()))
    monkeypatch.setattr(sys, "argv", ["nni_experiment.py", *options])
    runpy.run_path(str(EXAMPLES / "nni_experiment.py"), run_name="__main__")
    (found,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best")]
    frame = trials_frame(open_study(tmp_path / "studies", "nni_grid"))
    assert frame["state"].tolist() == ["COMPLETE"]
    best = frame.iloc[0]
    ran = zip(best["depths"], best["patches"], strict=True)
    assert found == "best schedule: " + ", then ".join(str(SubNetwork(*pair)) for pair in ran)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.timeout(900)
@pytest.mark.services
@pytest.mark.ray
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize(("schedule", "epochs"), [("tpe", "4"), ("autoprog", "12")])  # a search takes 18 steps a stage
def test_ray_tune(schedule, epochs, tmp_path):
    """Tune's search asks TPE; of the schedule only where AutoProg does not choose it in the trial."""
    command = [sys.executable, str(EXAMPLES / "ray_tune.py"), "--schedule", schedule, "--trials", "1"]
    command += ["--epochs", epochs]
    env = environment() | QUIET | {"PYTHONPATH": os.pathsep.join(map(str, [EXAMPLES.parent, *sys.path]))}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("depths [")]
    assert len(lines) == 1
    assert lines[0].endswith(" %")
    asked = json.loads(next(tmp_path.glob("ray_results/*/*/params.json")).read_text())
    assert ("stage1_depth_level" in asked) == (schedule == "tpe")
    assert 1e-3 <= asked["lr"] <= 4e-3


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # Hugging Face's own
def test_transformers_growth(few_digits, tmp_path, monkeypatch, capsys):
    """As it is; then again from a checkpoint inside the middle stage, and what it leaves loads as any model does."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(EXAMPLES / "transformers_growth.py"))["main"]
    model = main()
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if "blocks" in line]
    assert [line.split(":")[0] for line in lines] == [
        f"{n} blocks, epoch {k}" for k, n in enumerate((3, 4, 4, 6), start=1)
    ]
    losses = [value(line, "loss") for line in lines]
    assert losses[-1] < losses[0]
    images = torch.randn(2, 1, 24, 24)
    loaded = transformers.AutoModelForImageClassification.from_pretrained("digits_vit").eval()
    assert len(loaded.timm_model.blocks) == 6
    torch.testing.assert_close(loaded(images).logits, model.eval()(images).logits)

    grown = []
    grow = ElasticModel.grow
    monkeypatch.setattr(ElasticModel, "grow", lambda self, to, **options: (grown.append(to), grow(self, to, **options)))
    (second,) = [path for path in (tmp_path / "checkpoints").iterdir() if path.name.endswith(f"-{2 * 10}")]
    main(str(second))
    lines = [line for line in capsys.readouterr().out.splitlines() if "blocks" in line]
    assert [line.split(":")[0] for line in lines] == ["4 blocks, epoch 3", "6 blocks, epoch 4"]
    assert grown == [SubNetwork(6, 36)]  # it stood at the middle stage, and did not grow into it once more


@pytest.mark.filterwarnings("ignore")  # Lightning's own, of loaders without workers and of its dependencies
@pytest.mark.slow
def test_lightning_growth(few_digits, tmp_path, monkeypatch, capsys):
    if find_spec("lightning") is None:
        pytest.importorskip("pytorch_lightning")
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(EXAMPLES / "lightning_growth.py"))["main"]
    small, middle, full = SubNetwork(3, 9), SubNetwork(4, 16), SubNetwork(6, 36)

    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [str(s) for s in (small, middle, middle, full)]
    losses = [value(line, "loss") for line in lines]
    assert losses[-1] < losses[0]
    assert sum(name.endswith("attn.qkv.weight") for name in torch.load("digits_vit.pt", weights_only=True)) == 6

    grown = []
    grow = ElasticModel.grow
    monkeypatch.setattr(ElasticModel, "grow", lambda self, to, **options: (grown.append(to), grow(self, to, **options)))
    main("checkpoints/epoch=1.ckpt")  # of the middle stage's first epoch
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [str(middle), str(full)]
    assert grown == [full]  # it stood at the middle stage, and did not grow into it once more
    assert value(lines[0], "loss") < losses[1]
