"""Settings that have moved or were taken out: how older studies and files are read.

The only code for what was. Studies and files from before name their fields as they were named then; what evidence did
not pay back is run by no code any more (docs/evidence.md keeps its results), and is kept as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprog_search.errors import ConfigError, shown
from autoprog_search.levels import CHOICES, became

LAST_COMMIT = "3dd8b94"
"""The last one that runs what is RETIRED."""

MOVED = {
    "chain": "blocks.chain",
    "optimizer_state": "blocks.optimizer_state",
    "ease_in_share": "blocks.ease_in_share",
    "momentum_ema": "blocks.momentum_ema",
    "search_share": "search.share",
    "search_points": "search.points",
    "estimate_share": "search.estimate_share",
    "estimate_images": "search.estimate_images",
    "estimate_at": "search.estimate_at",
    "estimate_weights": "search.estimate_weights",
    "estimation_ema": "search.estimation_ema",
    "score": "search.score",
    "score_cost": "search.score_cost",
    "w_default": "search.w_default",
}
"""A field's name within `growth` as it was -> as it is."""

RETIRED: dict[str, tuple[Any, ...]] = {
    "other_operators": ([],),
    "loss_errors": ("own",),
    "path": ("chain",),
    "optimizer_state": ("reset", "copy"),
    "supernet_draws": ("shuffled",),
}
"""A field within `growth` that was taken out, or lost a choice -> the values under which runs are what they were."""


def space_renamed(space: Any) -> Any:
    """Fields of a space, without the one that was taken out, where it had nothing to say.

    Raises:
        ConfigError: it had.
    """
    if not isinstance(space, Mapping) or CHOICES not in space:
        return space
    if space[CHOICES]:
        raise ConfigError(f"space.{CHOICES}: {became(CHOICES)}")
    return {name: value for name, value in space.items() if name != CHOICES}


def space_as_it_was(space: Mapping[str, Any]) -> dict[str, Any]:
    """A space's fields as they were before one was taken out."""
    return {**space, CHOICES: []}


def is_retired(name: str, value: Any) -> bool:
    """Whether no code runs that field of `growth` with that value any more."""
    return name in RETIRED and value not in RETIRED[name]


def what_became_of(name: str, value: Any = None) -> str | None:
    """What to say of a field of `growth` that is none any more; None of one that never was."""
    if name in RETIRED and name not in MOVED and not is_retired(name, value):
        return "it was taken out, and this is what runs without it; leave it out"
    if is_retired(name, value):
        return f"{shown(value)} was taken out; the last commit that runs it is {LAST_COMMIT}"
    return f"it is growth.{MOVED[name]} now" if name in MOVED else None


def refusal(retired: Mapping[str, Mapping[str, Any]]) -> str:
    """Why methods cannot run: what they need that is retired."""
    (method, fields), *others = retired.items()
    needed = ", ".join(f"growth.{name} {shown(value)}" for name, value in fields.items())
    more = f" (and {', '.join(name for name, _ in others)})" if others else ""
    return f"{method}{more} needs {needed}, which was taken out; the last commit that runs it is {LAST_COMMIT}"


def renamed(growth: Any) -> Any:
    """Fields of `growth` by the names of now; what is retired stays as it was, and is no field of any settings."""
    if not isinstance(growth, Mapping):
        return growth
    old = {*MOVED, *RETIRED}
    new: dict[str, Any] = {name: value for name, value in growth.items() if name not in old or is_retired(name, value)}
    for name in growth:
        group, _, field = MOVED.get(name, "").partition(".")
        if name not in new and group and isinstance(within := new.get(group, {}), Mapping):
            new[group] = {field: growth[name], **within}
    return new


def renamed_study(data: Any) -> Any:
    """A study's fields by the names of now, those within its methods too."""
    if not isinstance(data, Mapping):
        return data
    new = {**data, "growth": renamed(data["growth"])} if "growth" in data else dict(data)
    if "space" in data:
        new["space"] = space_renamed(data["space"])
    if isinstance(methods := new.get("methods"), Mapping):
        new["methods"] = {
            method: {**plan, "growth": renamed(plan["growth"])} if "growth" in _fields(plan) else plan
            for method, plan in methods.items()
        }
    return new


def with_retired(growth: Mapping[str, Any], retired: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `growth` with those that are retired, by their old names, for whatever stands in their place now."""
    replaced = {MOVED.get(name) for name in retired}
    kept = {
        group: {name: value for name, value in fields.items() if f"{group}.{name}" not in replaced}
        for group, fields in growth.items()
        if isinstance(fields, Mapping)
    }
    return {**growth, **kept, **retired}


def stored_study(data: Any) -> Any:
    """What a stored study.yaml says, by the names of now; what its methods need that is retired, under `retired`."""
    if not isinstance(data, Mapping):
        return data
    new = renamed_study(data)
    shared, retired = _take_retired(new), {}
    for method, plan in _fields(new.get("methods")).items():
        given = _fields(_fields(data["methods"][method]).get("growth"))
        needed = {name: value for name, value in shared.items() if name not in given}
        if isinstance(plan, dict):
            needed |= _take_retired(plan)
        if needed:
            retired[method] = needed
    return {**new, "retired": retired}


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _take_retired(fields: dict[str, Any]) -> dict[str, Any]:
    """Take what is retired out of the `growth` of a study or of one of its methods."""
    growth = fields.get("growth")
    if not isinstance(growth, Mapping):
        return {}
    taken = {name: value for name, value in growth.items() if is_retired(name, value)}
    fields["growth"] = {name: value for name, value in growth.items() if name not in taken}
    return taken


def as_it_was(growth: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `growth` by their names before they moved, with what is retired where nothing needed it."""
    groups = {new.partition(".")[0] for new in MOVED.values()}
    old = {name: value for name, value in growth.items() if name not in groups}
    for name, new in MOVED.items():
        group, _, field = new.partition(".")
        old[name] = growth[group][field]
    return {name: values[0] for name, values in RETIRED.items()} | old
