"""Draw the schematic pictures of docs/growth.md as SVG, from the package's own functions: `python -m docs.pictures`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from autoprog_search.files import write_atomic
from autoprog_search.growth.chain import even_chain
from autoprog_search.growth.space_cost import cost_of
from autoprog_search.methods.fixed import linear
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

FOLDER = Path(__file__).parent / "pictures"
RUNS, RESTS, INK = "#0072B2", "#c8c8c8", "#333333"  # blue of Okabe and Ito: told from grey by every eye
SHARED, CHOSEN, WHITE = "#E69F00", "#009E73", "#ffffff"
STAGE_WIDTH, HEIGHT = 170, 300


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{fill}"/>'


def _text(x: float, y: float, text: str, size: int = 13, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="middle">{text}</text>'


def _svg(width: int, height: int, title: str, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}"'
    style = f'font-family="system-ui, sans-serif" fill="{INK}"'
    return "\n".join([f"{head} {style}>", _rect(0, 0, width, height, WHITE), *shapes, "</svg>", ""])


# ── a schedule ────────────────────────────────────────────────────────────────────────────────────────────────────


def schedule() -> str:
    """The linear schedule of the digits' space: patches, blocks, relative cost of each stage's steps."""
    space = GrowthSpace.load("digits")
    cost, chain = cost_of(space), even_chain(space.full.depth, space.depths)
    stages = [space.at(*levels) for levels in linear(space)]
    shapes = [_text(40, 70, "patches"), _text(40, 185, "blocks"), _text(40, 262, "cost")]
    for k, running in enumerate(stages):
        share = cost.step_flops(running, 1) / cost.step_flops(space.full, 1)
        middle = 90 + (k + 0.5) * STAGE_WIDTH
        shapes.append(_text(middle, 22, f"stage {k + 1}", weight="bold"))
        shapes += [*_grid(middle, running, space.full), *_stack(middle, chain[running.depth], space.full.depth)]
        shapes.append(_rect(middle - 60, 250, 120, 16, RESTS))
        shapes.append(_rect(middle - 60, 250, 120 * share, 16, RUNS))
        shapes.append(_text(middle, 284, f"{share:.2f} of a full step", 12))
    return _svg(90 + STAGE_WIDTH * len(stages), HEIGHT, "A growth schedule", shapes)


def _grid(middle: float, running: SubNetwork, full: SubNetwork) -> Iterator[str]:
    side = 72 / full.grid
    left, top = middle - running.grid * side / 2, 104 - running.grid * side
    for row in range(running.grid):
        for column in range(running.grid):
            yield _rect(left + column * side, top + row * side, side - 2, side - 2, RUNS)
    yield _text(middle, 122, f"{running.grid} x {running.grid}", 12)


def _stack(middle: float, active: Sequence[int], blocks: int) -> Iterator[str]:
    for block in range(blocks):
        yield _rect(middle - 45, 222 - 14 * block, 90, 10, RUNS if block in active else RESTS)


# ── what a stage does ─────────────────────────────────────────────────────────────────────────────────────────────

STEPS = (
    ("grow", "into the largest", "candidate", SHARED),
    ("train", "a candidate a step,", "shared weights", SHARED),
    ("estimate", "each one's loss on", "a few images", SHARED),
    ("choose", "least loss x cost^w,", "ties: the cheapest", CHOSEN),
    ("go on", "with its weights and", "optimiser state", RUNS),
)


def stage() -> str:
    """What happens while a stage opens, from left to right, and which share of it that takes."""
    shapes: list[str] = []
    for k, (what, first, second, fill) in enumerate(STEPS):
        left = 15 + 152 * k
        shapes += [
            _rect(left, 20, 132, 34, fill),
            f'<text x="{left + 66}" y="42" font-size="15" font-weight="bold" text-anchor="middle" '
            f'fill="{INK if fill == SHARED else WHITE}">{what}</text>',
            _text(left + 66, 76, first, 12),
            _text(left + 66, 93, second, 12),
        ]
        if k < len(STEPS) - 1:
            shapes.append(f'<path d="M{left + 135} 32 l12 5 l-12 5 z" fill="{INK}"/>')
    shapes += [_rect(15, 115, 60, 20, SHARED), _rect(75, 115, 680, 20, RUNS)]
    shapes += [_text(45, 152, "8 %", 12), _text(415, 152, "the rest of the stage trains what was chosen", 12)]
    return _svg(770, 165, "What happens in a stage", shapes)


PICTURES: dict[str, Callable[[], str]] = {"schedule": schedule, "stage": stage}


def path_of(name: str) -> Path:
    """Where a picture lies."""
    return FOLDER / f"{name}.svg"


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        write_atomic(path_of(name), draw().encode())
        print(path_of(name).relative_to(FOLDER.parent.parent))
