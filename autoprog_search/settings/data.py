"""Which images a run or a study trains on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from autoprog_search.errors import ConfigError, shown
from autoprog_search.fields import MOST_WORKERS, Real, Settings, Text, Whole

TABLE = "table:"


class DataConfig(Settings):
    """Where images come from."""

    name: Text = "digits"
    """`digits` (embedded), `fashion_mnist`, `letters`, any timm data set name (`torch/cifar10`, `hfds/...`,
    `wds/...`), a folder of images, or `table:NAME`: no images, but the results of all schedules (docs/table.md)."""
    root: Text = ""
    """folder of a named data set, if it needs one."""
    val_share: Real = Field(default=0.1, gt=0, lt=1)
    """of the training images that validate where the data have no split for it (docs/data.md)."""
    train_share: Real = Field(default=1.0, gt=0, le=1)
    """of the training images that train, for a quick look; the others are not used."""
    workers: Whole = Field(default=2, ge=0, le=MOST_WORKERS)
    """loader processes, for data that do not live on the device."""

    cache: Literal["none", "shrunk"] = "none"
    """`shrunk`: training images are stored once, as JPEGs whose shorter side is 1.25 times the space's full resolution,
    and read from there; validation and test images are not (docs/data.md)."""
    cache_dir: Text = ""
    """folder that the cache lies in; empty: `.autoprog-cache` in the data's own folder."""

    @field_validator("name", "root", "cache_dir")
    @classmethod
    def _check_text(cls, value: str, info: ValidationInfo) -> str:
        if value.encode(errors="ignore").decode() != value:  # JSON and databases store nothing else
            raise ConfigError(f"data, {info.field_name}: {shown(value)} is not UTF-8; give the folder another name")
        return value

    @model_validator(mode="after")
    def _check_cache(self) -> DataConfig:
        if self.cache != "none" and self.table is not None:
            raise ConfigError(f"data, cache: {self.cache!r} is for images, and a table has none; leave it at 'none'")
        return self

    @property
    def decisive(self) -> set[str]:
        """Names of the fields that decide a run's result; what the images are, their fingerprint tells.

        Runs and studies of before there was a cache know nothing of it.
        """
        return {"val_share", "train_share"} | ({"cache"} if self.cache != "none" else set())

    @property
    def table(self) -> str | None:
        """Name or file of the table that answers instead of training, if one does."""
        return self.name.removeprefix(TABLE) if self.name.startswith(TABLE) else None
