"""The studies that are committed. A user's own, as `make demo` leaves one, lie beside them: they are none of these."""

from __future__ import annotations

import re
from pathlib import Path

STUDIES = Path(__file__).parent.parent / "studies"
KEPT = re.findall(r"^!studies/(\w+)/$", STUDIES.with_name(".gitignore").read_text(), flags=re.MULTILINE)
FOLDERS = sorted(path.parent for name in KEPT for path in (STUDIES / name).rglob("study.yaml"))
