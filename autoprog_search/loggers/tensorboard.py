"""TensorBoard: event files in the run's folder; `tensorboard --logdir studies/NAME` shows a study's runs together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoprog_search.errors import ConfigError
from autoprog_search.loggers.logger import BY_COST, End, LoggedRun, Point

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
BY_MFLOPS = "by_mflops"
"""Begins the tags of curves over MFLOPs of training and search: TensorBoard's horizontal axes are whole numbers.

They have a folder of their own: what a killed run told too much is hidden by its step, of all tags of a folder.
"""


class TensorBoard:
    """Scalars a step and an epoch, events and settings as text, settings against results in the HParams tab.

    Args:
        folder: default: `tensorboard` in the run's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._by_cost: SummaryWriter | None = None
        self._settings: dict[str, str | int | float | bool] = {}

    def start(self, run: LoggedRun, known_as: str | None) -> str:
        """Write where that run wrote before; what it had told beyond its checkpoint is hidden, and any other run's all.

        Raises:
            ConfigError: there is no folder.
        """
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder or (run.folder / FOLDER if run.folder is not None else None)
        if folder is None:
            raise ConfigError("loggers: TensorBoard writes into the run's folder; give `out`, or TensorBoard(FOLDER)")
        begins = (run.step + 1, run.flops // 10**6 + 1) if known_as is not None else (0, 0)
        self._writer, self._by_cost = (
            SummaryWriter(str(path), purge_step=begin)
            for path, begin in zip((folder, folder / BY_MFLOPS), begins, strict=True)
        )
        self._settings = {name: "none" if value is None else value for name, value in run.settings.items()}
        rows = [f"| {_cell(name)} | {_cell(str(value))} |" for name, value in self._settings.items()]
        self._writer.add_text("settings", "\n".join(["| field | value |", "| --- | --- |", *rows]), run.step)
        return str(folder)

    def log(self, points: Sequence[Point]) -> None:
        """Scalars against steps, and those worth it against MFLOPs."""
        writer, by_cost = self._open
        for point in points:
            for tag, value in point.values.items():
                writer.add_scalar(tag, value, point.step)
                if tag in BY_COST:
                    by_cost.add_scalar(f"{BY_MFLOPS}/{tag}", value, point.flops // 10**6)
        writer.flush()
        by_cost.flush()

    def event(self, step: int, text: str) -> None:
        """A text under `growth`."""
        writer, _ = self._open
        writer.add_text("growth", text, step)
        writer.flush()

    def finish(self, end: End) -> None:
        """Settings beside results; where the weights lie."""
        writer, by_cost = self._open
        if end.results:
            results = {f"result/{name}": value for name, value in end.results.items()}
            writer.add_hparams(self._settings, results, run_name=".")
        if end.weights is not None:
            writer.add_text("weights", _cell(str(end.weights.resolve())))
        writer.close()
        by_cost.close()

    @property
    def _open(self) -> tuple[SummaryWriter, SummaryWriter]:
        assert self._writer is not None, "it was started"
        assert self._by_cost is not None, "so was this"
        return self._writer, self._by_cost


def _cell(text: str) -> str:
    """As it is, in TensorBoard's Markdown."""
    return "".join(f"&#{ord(c)};" if c in "<>&|`*_[]\\#!" or not c.isprintable() else c for c in text)
