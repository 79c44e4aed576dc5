"""A study's configuration: resolved, overridable, refused in one line."""

from __future__ import annotations

import time

import pytest

from autoprog_search.errors import AutoProgError, ConfigError
from autoprog_search.study.identity import study_hash
from autoprog_search.study.resolve import config_from_file, make_config
from autoprog_search.study.store import open_study
from tests.tiny import tiny_config


def make(**changes):
    arguments = {"space": "digits", "data": {"name": "digits"}, "methods": ["full", "random"], "trials": 4, "seeds": 2}
    return make_config(changes.pop("name", "s"), **{**arguments, **changes})


def test_trials_are_for_methods_that_learn_by_trials():
    plans = make().methods
    assert (plans["full"].trials, plans["random"].trials) == (1, 4)
    assert plans["full"].seeds == plans["random"].seeds == 2


def test_overrides_win_and_reach_every_part():
    config = make(overrides=["recipe.lr=3e-4", "growth.operator=zero_init", "methods.random.seeds=1", "tolerance=0.2"])
    assert config.recipe.lr == 3e-4
    assert config.growth.operator == "zero_init"
    assert config.methods["random"].seeds == 1
    assert config.tolerance == 0.2


def test_hash_changes_with_what_decides_results_only():
    base = study_hash(make())
    assert study_hash(make(name="other", seeds=3, methods=["full"])) == base
    assert study_hash(make(overrides=["data.workers=7"])) == base
    assert study_hash(make(overrides=["recipe.lr=1e-4"])) != base
    assert study_hash(make(overrides=["growth.search.share=0.2"])) != base
    assert study_hash(make(overrides=["threads=2"])) != base


def test_stored_configuration_reads_back():
    config = tiny_config("recipe.opt_args={betas: [0.9, 0.95]}")
    assert type(config).model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, ["name", "'a/b'"]),
        ({"name": "..x"}, ["name", "'..x'"]),
        ({"name": "x..y"}, ["name", "'x..y'"]),
        ({"name": ""}, ["name", "''"]),
        ({"space": "nothing"}, ["space", "'nothing'", "digits"]),
        ({"recipe": "nothing"}, ["recipe", "'nothing'", "deit"]),
        ({"methods": ["fulll"]}, ["methods", "'fulll'", "autoprog"]),
        ({"methods": []}, ["methods"]),
        ({"methods": ["full", "full-short"]}, ["full-short", "autoprog"]),
        ({"overrides": ["recipe.lrr=1"]}, ["recipe.lrr", "unknown field"]),
        ({"overrides": ["recipe.lr=fast"]}, ["recipe.lr", "'fast'"]),
        ({"overrides": ["recipe.lr=-1"]}, ["recipe.lr", "-1"]),
        ({"overrides": ["recipe.epochs=2"]}, ["epochs", "2", "stage"]),
        ({"overrides": ["recipe"]}, ["--set", "'recipe'"]),
        ({"overrides": ["nothing.at=1"]}, ["--set", "'nothing'"]),
        ({"overrides": ["name.at=1"]}, ["--set", "name"]),
        ({"overrides": ["growth.operator=magic"]}, ["operator", "'magic'", "mogrow"]),
        ({"overrides": ["growth.search.score=magic"]}, ["score", "'magic'", "loss_cost"]),
        ({"overrides": ["methods.full.trials=0"]}, ["methods.full.trials", "0"]),
        ({"overrides": ["recipe.lr={"]}, ["--set", "recipe.lr"]),
        ({"methods": ["autoprg+ties"]}, ["'autoprg+ties'", "did you mean autoprog?"]),
        ({"space": "deit_tinny"}, ["'deit_tinny'", "did you mean deit_tiny?"]),
        ({"recipe": "imagenet_deit"}, ["'imagenet_deit'", "did you mean imagenet_deit_"]),
        ({"overrides": ["growth.operator=mogro"]}, ["'mogro'", "did you mean mogrow?"]),
        ({"overrides": ["growth.search.score=slop"]}, ["'slop'", "did you mean slope?"]),
        ({"data": {"name": "table:fashio"}}, ["table:fashio", "did you mean fashion?"]),
        ({"data": {"name": "table:a\0.parquet"}}, ["data, name", "\\x00"]),
        ({"data": {"nam": "digits"}}, ["data.nam: unknown field", "did you mean name?", "workers"]),
        ({"data": {3: "digits"}}, ["data.3"]),
        ({"overrides": ["recipe.batch_size=true"]}, ["recipe.batch_size", "truth value", "True"]),
        ({"overrides": ["recipe.opt=012"]}, ["recipe.opt", "12"]),
        ({"overrides": ["recipe.opt_args={a: {b: [.inf]}}"]}, ["recipe.opt_args", "inf is not finite"]),
        ({"overrides": ["space.model_args.drop_rate=.nan"]}, ["space.model_args", "nan is not finite"]),
        ({"overrides": ["methods.full.growth.w=.inf"]}, ["methods.full.growth", "inf"]),
        ({"overrides": ["recipe.crop_scale=[.nan, 1]"]}, ["recipe.crop_scale.0", "nan"]),
        ({"overrides": ["space.model_args.depth=4"]}, ["model_args, depth: 4", "6"]),
        ({"overrides": ["space.model_args.embed_dim=10000000"]}, ["model_args, embed_dim", "1,000,000"]),
    ],
)
def test_wrong_input_is_one_line_that_names_it(changes, words):
    with pytest.raises(AutoProgError) as caught:
        make(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert caught.value.exit_code == 2


# ── --set ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "near", "others"),
    [
        ("recipe.epoch=3", "epochs", ["batch_size", "eval_weights"]),
        ("recip.lr=1", "recipe", ["space", "storage"]),
        ("thread=2", "threads", ["tolerance"]),
        ("growth.tie=1", "tie_se", ["operator"]),
        ("growth.adareg.crops=1", "crop", ["augment", "erasing"]),
        ("space.depth_fraction=[1]", "depth_fractions", ["patches", "resolutions"]),
        ("data.worker=1", "workers", ["val_share"]),
        ("nni.engines=local", "engine", ["cost_lambda"]),
        ("methods.full.seed=1", "seeds", ["trials", "growth"]),
        ("methods.ful.seeds=1", "full", ["random"]),
    ],
)
def test_set_answers_with_the_fields_at_the_place_nearest_first(text, near, others):
    with pytest.raises(ConfigError, match=rf"^--set: {text.partition('=')[0]}: .*did you mean {near}\?") as caught:
        make(overrides=[text])
    assert all(name in str(caught.value) for name in others)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("methods={random: {trial: 3}}", "trials"),
        ("methods.random.growth={tie_ze: 1}", "tie_se"),
        ("methods.random.growth.adareg.crops=1", "crop"),
        ("methods.random.space.stage=3", "stages"),
        ("growth.adareg={erase: 1}", "erasing"),
        ("recipe={epoch: 3}", "epochs"),
    ],
)
def test_so_does_a_mapping_that_is_set(text, near):
    with pytest.raises(AutoProgError, match=rf"unknown field; did you mean {near}\?"):
        make(overrides=[text])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["field=value"]),
        ("recipe.lr", ["'recipe.lr'", "field=value"]),
        ("=3", ["''"]),
        (".=3", ["'.'"]),
        (".lr=3", ["'.lr'"]),
        ("recipe.=3", ["'recipe.'"]),
        ("recipe..lr=3", ["'recipe..lr'"]),
        ("recipe.3=1", ["recipe.3: unknown field"]),
        ("space.depths.0=3", ["space.depths is (3, 4, 5, 6)", "no fields"]),
        ("recipe.lr.x=3", ["recipe.lr is 0.002", "no fields"]),
        ("recipe.opt_args" + ".a" * 40 + "=1", ["is not the name of a field"]),
        ("recipe.lr=1: 2: 3", ["recipe.lr", "cannot be read"]),
        ("recipe.epochs=!!int '3'", ["recipe.epochs", "!!int"]),
        ("recipe.lr=\udcff", ["recipe.lr", "\\udcff"]),
        ("recipe.l\x1b[0m=1", ["\\x1b[0m"]),
        ("x" * 10**6, ["xxx"]),
        ("x" * 10**6 + "=1", ["xxx"]),
        ("recipe.lr=" + "x" * 10**6, ["recipe.lr", "1,000,000 characters"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_set_without_a_field_or_a_value_is_one_line(text, words):
    with pytest.raises(ConfigError, match=r"^--set: ") as caught:
        make(overrides=[text])
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 400
    assert all(word in message for word in words), message


def test_set_reads_values_as_files_do():
    config = make(
        overrides=[
            "recipe.opt_args.eps=1e-6",
            "recipe.opt_args.betas=[9e-1, 0.99]",
            "recipe.epochs = 2e1",
            "space.model_args.init_values=1e-5",
            "recipe.teacher=2024-01-01",
            "methods.full.growth.adareg.crop=5e-1",  # groups that were left out
            "growth.adareg.crop=0.25",
        ]
    )
    assert config.recipe.opt_args == {"eps": 1e-6, "betas": [0.9, 0.99]}
    assert config.recipe.epochs == 20
    assert config.recipe.teacher == "2024-01-01"
    assert config.space.model_args["init_values"] == 1e-5
    assert config.growth_of("full").adareg.crop == 0.5
    assert config.growth.adareg.crop == 0.25


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

FAR = ["10000000", "1e18", "1e300", ".inf", ".nan", "-1", "1" * 5000]
BOUNDED = [
    *("recipe.epochs", "recipe.batch_size", "recipe.grad_accum", "recipe.repeats", "recipe.lr_batch_size"),
    *("recipe.mixup", "recipe.temperature", "growth.search.points", "growth.tie_se", "growth.w"),
    *("growth.target_speedup", "data.workers", "space.depth", "space.resolution", "space.patch_size", "space.stages"),
    *("tolerance", "threads", "nni.cost_lambda", "methods.random.trials", "methods.random.seeds"),
]


@pytest.mark.parametrize("field", BOUNDED)
@pytest.mark.parametrize("value", FAR, ids=lambda value: value[:10])
def test_numbers_are_bounded(field, value):
    with pytest.raises(AutoProgError, match=field.split(".")[-1]):
        make(overrides=[f"{field}={value}"])


@pytest.mark.parametrize("value", ["1e300", ".inf", ".nan", "-.inf", "1" * 5000], ids=lambda value: value[:10])
@pytest.mark.parametrize(
    "field",
    [
        *("recipe.lr", "recipe.min_lr", "recipe.clip_grad", "growth.search.estimate_images", "first_seed"),
        *("recipe.opt_args.eps", "space.model_args.qk_scale", "methods.full.growth.search.w_default"),
        *("growth.adareg.crop", "methods.full.space.stages"),
    ],
)
def test_numbers_are_finite(field, value):
    with pytest.raises(AutoProgError):
        make(overrides=[f"{field}={value}"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overrides": ["space.stages=1000000"]}, ["space.stages"]),
        ({"overrides": ["space.stages=300"]}, ["epochs", "20", "stage 1 of 300"]),
        ({"overrides": ["methods={full: {epochs: [" + "5, " * 101 + "]}}"]}, ["methods.full.epochs", "100"]),
        ({"methods": [f"linear+v{i}" for i in range(201)]}, ["methods", "200"]),
        ({"methods": ["random", "tpe"], "trials": 1000, "seeds": 501}, ["1,002,000 trials"]),
        ({"methods": ["grid"], "overrides": ["space.stages=20"]}, ["methods: grid", "2.4e+06"]),
        ({"methods": ["pbt"], "overrides": ["space.stages=20"]}, ["methods: pbt", "schedules"]),
        ({"methods": ["survey"], "overrides": ["space.stages=20", "growth.force_growth=none"]}, ["ways"]),
    ],
)
def test_studies_are_bounded_soon(changes, words):
    began = time.process_time()
    with pytest.raises(AutoProgError) as caught:
        make(**changes)
    assert time.process_time() - began < 2
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_largest_study_is_checked_soon():
    sweeps = {"full": list(range(200, 300)), "linear": list(range(300, 400))}
    epochs = [f"methods.{name}={{epochs: {sweep}}}" for name, sweep in sweeps.items()]
    large = [
        "recipe.epochs=400",
        "space.stages=100",
        *epochs,
    ]
    began = time.process_time()
    config = make(methods=["full", "linear", "random"], overrides=large)
    assert config.space.stages == 100
    assert time.process_time() - began < 2


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["not a mapping"]),
        ("3", ["not a mapping"]),
        ("[1, 2]", ["not a mapping"]),
        ("!!map {}", ["tag !!map"]),
        ("space: digits", ["methods"]),
        ("space: digits\nmethods: [full]", ["methods", "['full']"]),
        ("space: digits\nmethods:", ["methods", "None"]),
        ("space: digits\nmethods: {full: 3}", ["methods.full", "3"]),
        ("space: digits\nmethods: {full: {}, full: {}}", ["'full' is given twice"]),
        ("space: digits\nmethods: {full: {}}\nmethod: 3", ["method: unknown field", "did you mean methods?"]),
        ("space: digits\nmethods: {full: {}}\ndata: 3", ["data", "3"]),
        ("space: digits\nmethods: {full: {}}\nrecipe: [1]", ["recipe", "[1]"]),
        ("space: digits\nmethods: {full: {}}\nrecipe:", ["recipe", "None"]),
        ("space: digits\nmethods: {full: {}}\ngrowth: mogrow", ["growth", "'mogrow'"]),
        ("space: digits\nmethods: {full: {epochs: 3}}", ["methods.full.epochs", "3"]),
        ("space: [digits]\nmethods: {full: {}}", ["space", "['digits']"]),
        ("space: {model: x}\nmethods: {full: {}}", ["depths"]),
        ("space: digits\nmethods: {full: {}}\n" + "\n".join(f"a{i}: 1" for i in range(5000)), ["a0: unknown field"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_malformed_study_file_gives_one_line(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(AutoProgError) as caught:
        config_from_file(path, "s")
    message = str(caught.value)
    assert message.isprintable()
    assert all(word in message for word in words), message
    (tmp_path / "s").mkdir()
    path.rename(tmp_path / "s" / "study.yaml")
    with pytest.raises(AutoProgError) as caught:
        open_study(tmp_path, "s")
    assert str(caught.value).isprintable()
