from autoprog_search import AutoProgSampler
from autoprog_search.oneshot.score import ScoreRule

__all__ = ["AutoProgSampler", "ScoreRule"]
