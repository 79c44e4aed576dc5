"""What runs on this machine's GPU and how fast, in one command and at most nine minutes (benchmarks/gpu_check.md).

    python -m benchmarks.gpu_check --out OUT [--fashion FOLDER] [--limit 540] [--parts tests,steps,...] [--toy]

Each part is a process of its own, with its own time box: whatever happens in one, the next begins. What a part found
lies under OUT at once. `--toy` runs all of it small on a CPU. Prints one table last.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARTS = {
    # name: seconds it may take, seconds below which it is not begun
    "tests": (110, 30),
    "steps": (130, 60),
    "sizes": (100, 40),
    "growth": (60, 25),
    "study": (360, 60),
}
"""Most valuable first. `study` takes what is left."""

LAST = 12.0  # seconds kept back for the table
MOST_LINES = 40
ROOT = Path(__file__).parent.parent


def main() -> int:
    """Run the parts, one after the other, and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is found")
    parser.add_argument("--fashion", default="", help="folder of Fashion-MNIST's four files")
    parser.add_argument("--limit", type=float, default=530.0, help="seconds, all together")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, comma-separated")
    parser.add_argument("--toy", action="store_true", help="small, on the CPU")
    args = parser.parse_args()
    wanted = args.parts.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"--parts: {unknown[0]!r} is none; there are {', '.join(PARTS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for name in wanted:
        box, least = PARTS[name]
        left = args.limit - LAST - (time.monotonic() - began)
        if left < least and not args.toy:
            _note(args.out, name, f"not begun: {left:.0f} s were left, it takes {least} or more")
            continue
        _run(name, args, seconds=min(box, left) if not args.toy else box)
    print(table(args.out, wanted, time.monotonic() - began))
    return 0


def _run(name: str, args: argparse.Namespace, seconds: float) -> None:
    words = [sys.executable, "-m", "benchmarks.gpu", name, str(args.out.resolve()), args.fashion]
    words += [f"{seconds - 5:.0f}", *(["--toy"] if args.toy else [])]
    print(f"{name}: at most {seconds:.0f} s", flush=True)
    began = time.monotonic()
    (args.out / f"{name}.json").unlink(missing_ok=True)
    with (args.out / f"{name}.log").open("w") as log:
        process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if code != 0:
        lines = (args.out / f"{name}.log").read_text(errors="replace").strip().splitlines()
        said = lines[-1][:160] if lines else ""
        _note(args.out, name, f"ended by force after {seconds:.0f} s" if code is None else f"failed ({code}): {said}")
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def _note(out: Path, name: str, text: str) -> None:
    found = read(out, name)
    found.setdefault("rows", []).append([name, text])
    (out / f"{name}.json").write_text(json.dumps(found, indent=1))


def read(out: Path, name: str) -> dict[str, Any]:
    """What a part has left so far."""
    path = out / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def table(out: Path, parts: list[str], seconds: float) -> str:
    """All rows of all parts, and where it ran: at most `MOST_LINES` lines."""
    found = [read(out, name) for name in parts]
    where = next((f"{f['device']}, torch {f['torch']}, timm {f['timm']}" for f in found if "device" in f), "no device")
    rows = [row for f in found for row in f.get("rows", [])]
    shown = rows[: MOST_LINES - 2]
    lines = [f"{where}, {seconds:.0f} s", *(f"{what:32} {text}"[:200] for what, text in shown)]
    return "\n".join(
        [*lines, *([f"... and {len(rows) - len(shown)} more, under --out"] if len(rows) > len(shown) else [])]
    )


if __name__ == "__main__":
    sys.exit(main())
