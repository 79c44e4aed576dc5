"""What a shell completes besides commands and options (docs/integrations.md). Nothing of it loads Optuna or torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from click import Context, Parameter

from autoprog_search.methods.kinds import Fixed
from autoprog_search.methods.registry import METHODS


def studies(ctx: Context, param: Parameter, incomplete: str) -> list[str]:
    """Names of studies in the root folder."""
    from autoprog_search.study.listing import list_studies

    return _begun(list_studies(ctx.find_root().params.get("root") or Path("studies")), incomplete)


def spaces(ctx: Context, param: Parameter, incomplete: str) -> list[str]:
    """Growth spaces by name."""
    from autoprog_search.space import GrowthSpace

    return _begun(GrowthSpace.presets(), incomplete)


def methods(ctx: Context, param: Parameter, incomplete: str) -> list[str]:
    """The method after the last comma."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _begun(METHODS, last)]


def schedules(ctx: Context, param: Parameter, incomplete: str) -> list[str]:
    """What a single run's schedule may be called."""
    return _begun((name for name, kind in METHODS.items() if isinstance(kind, Fixed) or name == "autoprog"), incomplete)


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
