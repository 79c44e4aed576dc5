"""`config list` and `config show`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

from tests.tiny import cli, cli_here


def test_list_is_a_table_of_fields(tmp_path):
    shown = cli_here("config", "list", cwd=tmp_path).stdout
    assert "recipe.lr " in shown
    assert "[whole number, ...]" in shown  # brackets are no markup
    rows = json.loads(cli_here("config", "list", "growth", "-f", "json", cwd=tmp_path).stdout)
    assert {row["field"].partition(".")[0] for row in rows} == {"growth"}
    (tie,) = [row for row in rows if row["field"] == "growth.tie_se"]
    assert (tie["type"], tie["default"], tie["required"]) == ("number ≥ 0, ≤ 1000000", 1.0, False)
    listed = csv.DictReader(io.StringIO(cli_here("config", "list", "recipe", "-f", "csv", cwd=tmp_path).stdout))
    defaults = {row["field"]: row["default"] for row in listed}
    assert json.loads(defaults["recipe.crop_scale"]) == [0.08, 1.0]


def test_show_says_all_about_a_field_or_a_group(tmp_path):
    shown = cli_here("config", "show", "recipe.crop_scale", cwd=tmp_path).stdout
    assert "[number, number]; default: [0.08, 1.0]" in shown
    assert "least and largest share of the image's area" in shown
    group = cli_here("config", "show", "recipe", cwd=tmp_path).stdout
    assert group.startswith("How a network is trained")
    assert shown.strip() in group
    (row,) = json.loads(cli_here("config", "show", "threads", "-f", "json", cwd=tmp_path).stdout)
    assert (row["field"], row["group"], row["default"]) == ("threads", "study", 1)


def test_unknown_names_are_one_line(tmp_path):
    done = cli("config", "show", "recipe.epoch", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: config: there is no field 'recipe.epoch'; near it are recipe.epochs")
    assert len(done.stderr.splitlines()) == 1
    done = cli_here("config", "list", "recpie", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "near it are recipe" in done.stderr


def test_it_waits_for_no_torch():
    code = "import sys; from autoprog_search.study.settings_docs import settings; settings(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "timm", "optuna", "pandas"} & set(loaded)
