"""`make docs-figures`: pages are rewritten between their comments, from committed folders alone."""

from __future__ import annotations

import pytest

from autoprog_search.errors import ConfigError, StudyError
from docs import redraw
from tests.swept import publish, swept_trials

PAGE = """# Results
<!-- table: studies/swept targets -->
stale
<!-- end -->
Between.
<!-- figure: studies/swept cost-to-target seconds -->
<!-- end -->
"""


@pytest.fixture
def root(tmp_path):
    """A repository with one published study and one page."""
    publish(tmp_path / "studies/swept", swept_trials(seeds=2))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/results.md").write_text(PAGE)
    (tmp_path / "README.md").write_text("nothing quoted\n")
    return tmp_path


def test_a_page_is_rewritten_between_its_comments(root):
    page = root / "docs/results.md"
    text = redraw.rewritten(page, root)
    assert text.startswith("# Results\n<!-- table: studies/swept targets -->\n| method | seeds |")
    assert "stale" not in text
    assert "\n<!-- end -->\nBetween.\n<!-- figure:" in text
    assert "![Cost to target, study swept](figures/swept_cost-to-target_seconds.png)" in text
    assert text.count("[results](../studies/swept/results.csv)") == 2
    assert text.count("--config studies/swept/study.yaml") == 2
    page.write_text(text)
    assert redraw.rewritten(page, root) == text
    (quote,) = [quote for quote in redraw.quotes(page, root) if quote.kind == "figure"]
    assert quote.image == root / "docs/figures/swept_cost-to-target_seconds.png"


# The verdict is a list; the others ask for what this study has not.
@pytest.mark.parametrize("name", sorted(redraw.TABLES.keys() - {"validity", "regret", "verdict", "last-growths"}))
def test_every_table_says_how_to_read_it(name, root):
    results, page = root / "studies/swept/results.csv", root / "docs/results.md"
    results.write_text(results.read_text().replace("swept,random,", "swept,linear+stacking,"))
    page.write_text(f"<!-- table: studies/swept {name} -->\n<!-- end -->\n")
    table, reading = redraw.rewritten(page, root).split("\n\n")
    rows = 3 if name == "ablations" else 4  # of four methods one is a variant, and one has none
    assert table.count("\n") == 2 + rows
    assert "20 epochs" in reading


def test_the_verdict_is_a_list_of_sentences(root):
    page = root / "docs/results.md"
    page.write_text("<!-- table: studies/swept verdict -->\n<!-- end -->\n")
    sentences, reading = redraw.rewritten(page, root).split("\n\n")
    assert [line.split(":")[0] for line in sentences.splitlines()[1:]] == [
        "- full, the reference",
        "- linear",
        "- autoprog",
        "- random",
    ]
    assert "power of 80 %" in reading


def test_a_page_that_quotes_nothing_stays(root):
    assert redraw.rewritten(root / "README.md", root) == "nothing quoted\n"
    assert redraw.pages(root) == [root / "README.md", root / "docs/results.md"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "<!-- table: studies/swept pareto -->\n<!-- end -->",
            "'studies/swept pareto' is not FOLDER NAME with one of c",
        ),
        ("<!-- figure: studies/swept -->\n<!-- end -->", "'studies/swept' is not FOLDER NAME .flops.seconds. with one"),
        ("<!-- figure: studies/swept pareto euros -->\n<!-- end -->", "'studies/swept pareto euros' is not"),
        ("<!-- table: studies/swept compare -->\n", "1 comments begin a figure or table and 0 end one"),
        ("<!-- end -->\n", "0 comments begin a figure or table and 1 end one"),
        ("<!-- table: a compare -->\n<!-- table: a targets -->\n<!-- end -->\n<!-- end -->", "2 .* begin .* 2 end one"),
    ],
)
def test_comments_that_cannot_be_followed_are_named(text, error, root):
    (root / "docs/results.md").write_text(text)
    with pytest.raises(ConfigError, match=error):
        redraw.rewritten(root / "docs/results.md", root)


def test_columns_are_those_of_the_rows(root):
    page = root / "docs/results.md"
    page.write_text("<!-- columns: curves -->\nstale\n<!-- /columns -->\n")
    text = redraw.rewritten(page, root)
    assert "| `val_top1` | % | validation accuracy, likewise |" in text.splitlines()
    assert "stale" not in text
    page.write_text("<!-- columns: kittens -->\n<!-- /columns -->\n")
    with pytest.raises(ConfigError, match="'kittens' is none of results, curves, estimates"):
        redraw.rewritten(page, root)


def test_a_folder_that_is_not_there_is_named(root):
    (root / "docs/results.md").write_text("<!-- table: studies/none compare -->\n<!-- end -->")
    with pytest.raises(StudyError, match=r"studies/none/study\.yaml cannot be read"):
        redraw.rewritten(root / "docs/results.md", root)


def test_a_screenshot_is_of_the_studys_report(root):
    page = root / "docs/results.md"
    page.write_text("<!-- screenshot: studies/swept report-narrow -->\n<!-- end -->\n")
    assert "![The report on a telephone](figures/swept_report-narrow.png)" in redraw.rewritten(page, root)
    page.write_text("<!-- screenshot: studies/swept kittens -->\n<!-- end -->\n")
    with pytest.raises(
        ConfigError, match=r"'studies/swept kittens' is not FOLDER NAME with one of report, report-narr"
    ):
        redraw.rewritten(page, root)
