"""Effects of a study as its page draws them: conditions, and of a factorial study main effects beside them."""

import json
import shutil

from findna_kit.report.page import read, render
from tests.report.reading import Page


def test_main_effects_have_a_forest_and_a_table_of_their_own(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "tiny")
    result = json.loads((copy / "result.json").read_text())
    effect = result["conditions"]["rate-high"]["effect"] | {"verdict": "worse"}
    effect["overall"] = {"value": -0.125, "low": -0.25, "high": 0.0625}
    levels = [{"factor": "width", "level": "wide", "minus": "narrow", "effect": effect}]
    (copy / "result.json").write_text(json.dumps({**result, "main_effects": {"smallest_p": 0.5, "levels": levels}}))
    page = Page(render(read([copy])))
    assert len(page.ids) == len(set(page.ids))
    told = "width: wide minus narrow: -0.125 [-0.250, +0.062] worse"
    assert [words for words in page.words("desc") if words == told]
    assert [
        words
        for words in page.words("figcaption")
        if words.startswith("Main effect of each level, averaged over all levels of")
    ]
    (row,) = [words for words in page.words("tr") if words.startswith("width: wide minus narrow")]
    assert "-0.125" in row and row.endswith("worse")
    before = Page(render(read([study])))
    assert len(page.of("figure")) == len(before.of("figure")) + 1
