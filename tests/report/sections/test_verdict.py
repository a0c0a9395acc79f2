"""What a report says first: whether a run learned something, and compared with what."""

import json
import re
import shutil

from findna_kit.report.folders import read_run
from findna_kit.report.page import read, render
from findna_kit.report.sections.verdict import verdict_section
from tests.report.reading import Page


def sentences(*folders):
    section = verdict_section("runs", [read_run(folder, folder.name) for folder in folders])
    return [block.text.replace("\N{NO-BREAK SPACE}", " ") for block in section.blocks]


INTERVAL = r"[+-]?\d\.\d{3} \[[+-]?\d\.\d{3}, [+-]?\d\.\d{3}\]"


def test_a_scored_run_is_compared_with_its_controls(made):
    status, task, masked, collapse = sentences(made / "one")
    assert status == "one: finished, 8 of 8 steps, one seed."
    verdict = r"(above|below|not distinguishable from)"
    assert re.fullmatch(
        rf"task, linear probe: MCC {INTERVAL}; the encoder is {verdict} random initialisation \({INTERVAL}\), "
        rf"{verdict} k-mer logistic regression \({INTERVAL}\)\.", task
    ), task  # fmt: skip
    entries = json.loads((made / "one" / "evaluation.json").read_text())
    ((_, result),) = entries.items()
    value = result["protocols"]["probe"]["encoder"]["mcc"]["value"]
    assert f"MCC {value:.3f} [" in task
    rows = [json.loads(line) for line in (made / "one" / "metrics.jsonl").read_text().splitlines()]
    (bits,) = [value for name, value in rows[-1].items() if name.endswith("masked/bits_per_base/teacher")]
    assert f"{bits:.3f} bits per base (teacher, step 8)" in masked
    best = min(json.loads((made / "one" / "run.json").read_text())["baselines"].values(), key=lambda one: one["bits_per_base"])
    assert f"the best baseline's {best['bits_per_base']:.3f} (" in masked
    rankme, deviation = r"RankMe \d+\.\d\d \(near 1: collapsed\)", r"feature deviation \d\.\d\d \(near 0: collapsed\)"
    assert re.fullmatch(rf"Pooled embeddings of the teacher: {rankme}, {deviation}\.", collapse), collapse


def test_a_run_without_scores_says_how_to_get_them(made, tmp_path):
    status, missing, *_ = sentences(made / "bare")
    assert status == "bare: finished, 2 of 2 steps, one seed."
    assert missing == "Not evaluated on a labelled task yet."
    copy = shutil.copytree(made / "bare", tmp_path / "empty")
    (copy / "metrics.jsonl").unlink()
    (copy / "run.json").write_text("{}")
    assert sentences(copy) == ["empty: not recorded.", "Not evaluated on a labelled task yet."]


def test_more_tasks_than_are_read_are_counted(made, tmp_path):
    copy = shutil.copytree(made / "one", tmp_path / "many")
    ((path, result),) = json.loads((copy / "evaluation.json").read_text()).items()
    entries = {f"{path}{number}": {**result, "path": f"{path}{number}", "task": f"task{number}"} for number in range(5)}
    (copy / "evaluation.json").write_text(json.dumps(entries))
    told = sentences(copy)
    assert [text.partition(",")[0] for text in told[1:4]] == ["task0", "task1", "task2"]
    assert told[4] == "2 more tasks under Scores."


def test_it_comes_first_and_then_the_scores(made):
    page = Page(render(read([made / "one", made / "two"])))
    assert page.words("h3")[:2] == ["Verdict", "Scores"]
