"""The page of real runs and a real study: what stands in it, that it is the same each time, and what it never replaces."""

import json
import re
import shutil
from itertools import pairwise

import pytest

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.evaluation.result_tables import table_rows
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.report import ReportRequest, write_report
from findna_kit.report.page import MARK, read, render
from findna_kit.report.sections.embeddings import EmbeddingRequest
from findna_kit.study.files import StudyResult
from findna_kit.study.tables import condition_rows
from tests.report.reading import Page


@pytest.fixture(scope="module")
def page(made):
    return Page(render(read([made / "one", made / "two", made / "bare"])))


@pytest.fixture(scope="module")
def of_study(study):
    return Page(render(read([study])))


def spoken(page):
    return " ".join(page.words("body")[0].replace("\N{NO-BREAK SPACE}", " ").split())


PAGES = pytest.mark.parametrize("name", ["page", "of_study"])


@PAGES
def test_its_headings_are_in_order(name, request):
    page = request.getfixturevalue(name)
    levels = [int(one["tag"][1]) for one in page.of("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert {one["tag"] for one in page.of("main", "nav", "header", "footer")} == {"main", "nav", "header", "footer"}
    assert page.of("html")[0]["lang"] == "en"


@PAGES
def test_its_ids_are_its_own_and_its_links_lead_somewhere(name, request):
    page = request.getfixturevalue(name)
    assert len(page.ids) == len(set(page.ids))
    assert {one["href"] for one in page.of("a")} <= {f"#{name}" for name in page.ids}
    named = {part for one in page.elements if "aria-labelledby" in one for part in one["aria-labelledby"].split()}
    assert named <= set(page.ids)


@PAGES
def test_every_table_has_a_caption_and_heads(name, request):
    page = request.getfixturevalue(name)
    captions = [one["words"].strip() for one in page.of("caption")]
    assert len(captions) == len(page.of("table")) and all(captions)
    assert {one["scope"] for one in page.of("th")} == {"col", "row"}
    boxes = [one for one in page.elements if one.get("class") == "scroll"]
    assert boxes and all((one["tabindex"], one["role"]) == ("0", "region") and one["aria-label"] for one in boxes)


@PAGES
def test_every_figure_says_what_it_shows(name, request):
    page = request.getfixturevalue(name)
    drawings = [one for one in page.of("svg") if one["class"] == "drawing"]
    assert len(drawings) > 10
    assert all(one["role"] == "img" for one in drawings)
    titles, told = ({one["id"]: one["words"] for one in page.of(tag) if "id" in one} for tag in ("title", "desc"))
    assert all(titles[one["aria-labelledby"]] and told[one["aria-describedby"]] for one in drawings)
    figures, tables = page.of("figure"), [one for one in page.of("table") if "figure" in one["above"]]
    assert len(tables) == len(figures) == len(page.of("figcaption")), "every figure has its numbers"


@PAGES
def test_it_asks_for_nothing(name, request):
    text = request.getfixturevalue(name).text
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form)\b", text)
    assert not re.search(r"(src|action)=|url\(|@import|https?://", text)
    assert set(re.findall(r'href="([^"]*)"', text)) <= {f"#{name}" for name in request.getfixturevalue(name).ids}


def test_the_same_folders_give_the_same_bytes(made, study):
    folders = [made / "two", made / "one", study]
    assert render(read(folders)) == render(read(folders))


def test_a_run_says_what_it_is(made, page):
    record = json.loads((made / "one" / "run.json").read_text())
    said = spoken(page)
    for value in (
        record["genomes"][0]["digest"], f"torch {record['versions']['torch']}", f"{record['parameters']:,}",
        "encoder chordmixer", "builtin (findna-kit 0.1.0)", "8 of 8", "12 of 12", "finished",
    ):  # fmt: skip
        assert value in said, value


def test_scores_stand_as_evaluate_has_them(made, page):
    (result,) = read_evaluation(made / "one", "").values()
    said = spoken(page)
    for row in table_rows(result)[1:]:
        assert all(cell in said for cell in row if cell), row
    assert result.interval.method in said
    assert "Strand disagreement" in said
    assert "bare: not evaluated yet. findna-kit evaluate" in said


def test_leakage_and_what_was_not_looked_for_are_said(page):
    said = spoken(page)
    assert "Test samples found in the other splits: 30 of 30 (100.0%)" in said
    assert "have not been searched for test samples. findna-kit tasks audit" in said
    assert "No task has been audited for leakage with bare." in said


def test_two_recipes_are_compared_key_by_key(page):
    heads = page.words("th")
    assert "losses.distill.weight" in heads and "steps" in heads
    assert "data.length" not in heads, "in which they do not differ"
    assert page.words("summary")[-3:] == [f"Resolved recipe of {name}" for name in ("one", "two", "bare")]
    assert "name: self_distill" in page.words("pre")[-3]


def test_losses_collapse_signals_and_cost_are_shown(page, made):
    captions = " ".join(page.words("figcaption"))
    for family in (
        "masked: loss", "distill: loss", "pooled rankme", "class deviation", "distill: teacher entropy share",
        "masked: bits per base, validation windows without augmentation", "learning rate, momentum and gradient norm",
        "task: mcc",
    ):  # fmt: skip
        assert family in captions, family
    assert "not recorded" not in page.words("tr")[[row.startswith("training time") for row in page.words("tr")].index(True) + 1]
    assert "resident in main memory" in spoken(page)


def test_a_picture_of_embeddings_is_made_when_it_is_asked_for(made, page):
    assert "No embedding plot. Add one with:" in spoken(page) and "--embed TASK" in spoken(page)
    asked = EmbeddingRequest(str(made / "task"), device="cpu")
    shown = Page(render(read([made / "one", made / "two"]), asked))
    assert "Mean-pooled embeddings of 30 of the 30 test sequences of task" in spoken(shown)
    assert [words for words in shown.words("desc") if words.startswith("30 points, 15 of 0, 15 of 1; horizontal axis PC 1")]
    assert render(read([made / "one", made / "two"]), asked) == shown.text


def test_a_study_says_what_it_declared_and_what_it_found(study, of_study):
    result = json.loads((study / "result.json").read_text())
    said = spoken(of_study)
    for row in condition_rows(StudyResult.model_validate(result)):
        assert all(cell in said for cell in row if cell), row
    assert "rate: high" in said and '{"optimizer.learning_rate": 0.01}' in said
    assert "4 cells: 4 finished." in said
    assert "smallest p that can be reached: 0.5" in said
    (drawn,) = [one["words"] for one in of_study.of("desc") if "not enough seeds to say" in one["words"]]
    assert drawn.startswith("rate-high: ")
    assert "reference (2 seeds)" in said and "Lines are means over seeds" in said
    assert "optimizer.learning_rate" in " ".join(of_study.words("th"))


def test_a_study_that_is_not_finished_compares_nothing(study, tmp_path):
    begun = shutil.copytree(study, tmp_path / "begun")
    (begun / "result.json").unlink()
    shutil.rmtree(begun / "cells" / "rate-high" / "seed-1")
    cell = begun / "cells" / "rate-high" / "seed-0"
    shutil.rmtree(cell / "run")
    (cell / "failed.json").write_text('{"reason": "exit code 3: the loss is not finite"}')
    said = spoken(Page(render(read([begun]))))
    assert "The study is not finished, so there is nothing to compare yet" in said
    assert "4 cells: 2 finished, 1 failed, 1 not started." in said
    assert "failed: exit code 3: the loss is not finite" in said


def test_a_study_in_which_nothing_has_begun_has_a_page(study, tmp_path):
    (tmp_path / "new").mkdir()
    shutil.copy(study / "study.json", tmp_path / "new")
    said = spoken(Page(render(read([tmp_path / "new"]))))
    assert "4 cells: 4 not started." in said and "No cell has started." in said


def test_other_surroundings_of_a_cell_are_said(study, tmp_path):
    moved = shutil.copytree(study, tmp_path / "moved")
    path = moved / "cells" / "reference" / "seed-1" / "run" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "versions": {**record["versions"], "torch": "1.0"}}))
    said = spoken(Page(render(read([moved]))))
    assert "Cells were run in 2 different environments" in said and "torch 1.0" in said


def test_a_run_of_which_nothing_is_there_yet_has_a_page(made, tmp_path):
    record = json.loads((made / "bare" / "run.json").read_text())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"status": "failed", "reason": "no space", "steps": record["steps"]}))
    said = spoken(Page(render(read([tmp_path / "run"]))))
    for sentence in (
        "failed: no space", "metrics.jsonl has no steps", "Losses: metrics.jsonl has none yet.",
        "Collapse signals: metrics.jsonl has none yet.", "its folder has no recipe.yaml", "not evaluated yet",
    ):  # fmt: skip
        assert sentence in said, sentence


def test_a_folder_has_one_page_and_a_new_one_replaces_it(made, tmp_path):
    run = shutil.copytree(made / "bare", tmp_path / "run")
    path = write_report(ReportRequest([run]))
    assert path == run / "report.html" and MARK in path.read_bytes()[:2048]
    before = path.read_bytes()
    assert write_report(ReportRequest([run])).read_bytes() == before


@pytest.mark.parametrize("out", [None, "mine.html"])
def test_what_is_no_report_of_ours_is_never_touched(made, tmp_path, out):
    run = shutil.copytree(made / "bare", tmp_path / "run")
    mine = tmp_path / out if out else run / "report.html"
    mine.write_text("my thesis")
    with pytest.raises(OutputExists, match="is not a report of findna-kit, so it is not replaced"):
        write_report(ReportRequest([run], tmp_path / out if out else None, overwrite=True))
    assert mine.read_text() == "my thesis"


def test_a_named_page_is_replaced_when_that_is_said(made, tmp_path):
    asked = [made / "bare", made / "one"]
    out = write_report(ReportRequest(asked, tmp_path / "deep" / "both.html"))
    with pytest.raises(OutputExists, match="exists already; name another --out, or use --overwrite"):
        write_report(ReportRequest(asked, out))
    write_report(ReportRequest(asked[:1], out, overwrite=True))
    assert '<h2 id="runs">Run bare</h2>' in out.read_text()


def test_a_folder_is_no_page(made, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputExists, match="is not replaced"):
        write_report(ReportRequest([made / "bare"], tmp_path / "there", overwrite=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExists, match="cannot be written: "):
        write_report(ReportRequest([made / "bare"], tmp_path / "file" / "page.html"))


def test_several_folders_want_a_place_and_one_is_wanted_once(made):
    with pytest.raises(FindnaError, match=r"a report of 2 folders needs --out FILE\.html"):
        write_report(ReportRequest([made / "one", made / "two"]))
    with pytest.raises(FindnaError, match="is given twice; give it once"):
        read([made / "one", made / "two" / ".." / "one"])


def test_a_run_with_its_page_can_still_be_replaced(made, tmp_path):
    from tests.runs.test_start import run

    run(tmp_path / "run", "steps=0")
    write_report(ReportRequest([tmp_path / "run"]))
    run(tmp_path / "run", "steps=0", overwrite=True)
    assert not (tmp_path / "run" / "report.html").exists(), "it was of the other run"
