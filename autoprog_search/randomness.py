"""Randomness as a pure function of (seed, what for, when): nothing of it need be in a checkpoint."""

from __future__ import annotations

from hashlib import blake2b

SPLIT_SEED = 20220615  # one split for all methods and seeds; AutoProg's day at CVPR


def derive(*parts: float | str) -> int:
    """A 63-bit seed that is the same on every machine and process (Python's own `hash` is not)."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
