"""No absolute path of the machine is on a page: it is given to others."""

from pathlib import Path

import pytest
from markupsafe import Markup

from findna_kit.report import ReportRequest, write_report
from findna_kit.report.page import read, render
from findna_kit.report.paths import PathShortener


def test_a_page_has_no_absolute_path_of_its_folders(made, study, tmp_path, monkeypatch):
    text = write_report(ReportRequest([made / "one", made / "two", study], tmp_path / "page.html")).read_text()
    for folder in (made, study, tmp_path, Path.cwd(), Path.home()):
        assert str(folder) not in text and str(folder.resolve()) not in text
    monkeypatch.chdir(made)
    text = render(read([made / "one", study]))
    assert str(made) not in text and str(study) not in text
    assert "findna-kit tasks audit task --run one" in text, "a command with paths that lead somewhere from here"


@pytest.fixture
def paths(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    return PathShortener.of_page(
        {tmp_path / "a & b" / "run": "run", tmp_path / "work" / "runs" / "x": "x", tmp_path / "it's" / "x": "it's"}
    )


@pytest.mark.parametrize(("text", "shown"), [
    ("{0}/work/genome.fa", "genome.fa"),
    ("{0}/work", "."),
    ("{0}/work/runs/x", "runs/x"),
    ("see {0}/work/runs/x/run.json.", "see runs/x/run.json."),
    ("{0}/a & b/run", "run"),
    ("'{0}/a & b/run/log.txt'", "'run/log.txt'"),
    ("findna-kit report '{0}/it'\"'\"'s/x/cells/1'", "findna-kit report 'it'\"'\"'s/cells/1'"),
    ("{0}/me/data/x.fa; 3 bases", "~/data/x.fa; 3 bases"),
    ("genome: /mnt/big/store/x.fa", "genome: …/store/x.fa"),
    ('["/mnt/big/one/x.fa", "/mnt/big/two/y.fa"]', '["…/one/x.fa", "…/two/y.fa"]'),
    ("/data/x.fa", "…/data/x.fa"),
    ("knn/mcc and 3/4, https://example.org/a/b, ../up/there, TASK", None),
    ("</td></tr>", None),
])  # fmt: skip
def test_paths_are_shortened_and_nothing_else_is(paths, tmp_path, text, shown):
    text = text.format(tmp_path)
    assert paths.shorten(text) == (text if shown is None else shown)
    assert paths.shorten(paths.shorten(text)) == paths.shorten(text)


def test_markup_is_shortened_too_and_stays_markup(paths, tmp_path):
    drawing = Markup("<desc>{}</desc>").format(str(tmp_path / "a & b" / "run" / "task"))
    assert paths.shorten(drawing) == Markup("<desc>run/task</desc>")
    assert isinstance(paths.shorten(drawing), Markup)
    assert paths.shorten(3) == 3


def test_committed_reports_have_none():
    pages = list((Path(__file__).parents[2] / "docs").rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text()
        assert PathShortener(()).shorten(text) == text, page
