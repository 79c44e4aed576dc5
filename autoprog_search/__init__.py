"""Find and run growth schedules for training vision Transformers.

Names below are loaded when first used: `import autoprog_search` is fast and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprog_search.growth.elastic import ElasticModel
    from autoprog_search.methods.nni import AutoProgStrategy as AutoProgStrategy
    from autoprog_search.methods.optuna import AutoProgSampler
    from autoprog_search.runs.train import train
    from autoprog_search.schedule import GrowthSchedule, SubNetwork
    from autoprog_search.space import GrowthSpace
    from autoprog_search.study import load_study

    __version__: str

_PUBLIC = {
    "AutoProgStrategy": "autoprog_search.methods.nni",
    "AutoProgSampler": "autoprog_search.methods.optuna",
    "ElasticModel": "autoprog_search.growth.elastic",
    "GrowthSchedule": "autoprog_search.schedule",
    "GrowthSpace": "autoprog_search.space",
    "SubNetwork": "autoprog_search.schedule",
    "load_study": "autoprog_search.study",
    "train": "autoprog_search.runs.train",
}

# AutoProgStrategy needs NNI (the extra `nni`), so `import *` leaves it out.
__all__ = ["AutoProgSampler", "ElasticModel", "GrowthSchedule", "GrowthSpace", "SubNetwork", "load_study", "train"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, whether loaded yet or not, and the parts of the package that are loaded."""
    from importlib.util import find_spec
    from types import ModuleType

    # Whoever looks at all names (`help`, `inspect.getmembers`) loads them; what NNI lacks (methods.table) would fail.
    nni = all(map(find_spec, ("nni_node", "pytorch_lightning")))
    public = {*__all__, "__version__", *(["AutoProgStrategy"] if nni else [])}
    loaded = {name for name, value in globals().items() if isinstance(value, ModuleType) or name.startswith("__")}
    return sorted(public | loaded - {"__getattr__", "__dir__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # here: slower to import than all above

    try:
        return version("autoprog-search")
    except PackageNotFoundError:  # a source tree that is on the path, not installed
        return "0+unknown"
