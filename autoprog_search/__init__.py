"""Find and run growth schedules for training vision Transformers.

Names below are loaded when first used: `import autoprog_search` is fast and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprog_search.growth.elastic import ElasticModel
    from autoprog_search.methods.nni import AutoProgStrategy as AutoProgStrategy
    from autoprog_search.methods.optuna import AutoProgSampler
    from autoprog_search.schedule import GrowthSchedule, SubNetwork
    from autoprog_search.space import GrowthSpace
    from autoprog_search.study import load_study
    from autoprog_search.study.single import train

__version__ = version("autoprog-search")

_PUBLIC = {
    "AutoProgStrategy": "autoprog_search.methods.nni",
    "AutoProgSampler": "autoprog_search.methods.optuna",
    "ElasticModel": "autoprog_search.growth.elastic",
    "GrowthSchedule": "autoprog_search.schedule",
    "GrowthSpace": "autoprog_search.space",
    "SubNetwork": "autoprog_search.schedule",
    "load_study": "autoprog_search.study",
    "train": "autoprog_search.study.single",
}

# AutoProgStrategy needs NNI (the extra `nni`), so `import *` leaves it out.
__all__ = ["AutoProgSampler", "ElasticModel", "GrowthSchedule", "GrowthSpace", "SubNetwork", "load_study", "train"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
