"""Pictures of embeddings: of so many rows, and none where there is none to be had."""

import numpy as np
import pytest

from findna_kit.errors import FindnaError
from findna_kit.report.folders import read_run
from findna_kit.report.sections import embeddings
from findna_kit.report.sections.embeddings import EmbeddingRequest, embeddings_section


@pytest.fixture
def named(made):
    return [("one", read_run(made / "one", "one"))]


def test_so_many_rows_are_drawn(made, named, monkeypatch):
    monkeypatch.setattr(embeddings, "MAX_SEQUENCES", 7)
    section = embeddings_section("runs", made, named, EmbeddingRequest(str(made / "task"), device="cpu"))
    note, figure = section.blocks
    assert "7 of the 30 test sequences" in note.text
    assert str(figure.panels[0].drawing).replace("horizontal", "").count("z") == 7, "each mark ends its path"
    assert figure.numbers.rows[0][:2] == ["one", "teacher, step 8"]


@pytest.mark.parametrize(("rows", "why"), [
    (np.ones((30, 4), np.float32), "all embeddings are equal, or have a single dimension"),
    (np.full((30, 4), np.nan, np.float32), "some embeddings are not finite"),
    (np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), "there are fewer than 4 sequences"),
])  # fmt: skip
def test_embeddings_that_cannot_be_drawn_are_said(made, named, monkeypatch, rows, why):
    monkeypatch.setattr(embeddings, "_embed", lambda *_: (rows, "teacher, step 8"))
    *_, remark = embeddings_section("runs", made, named, EmbeddingRequest(str(made / "task"))).blocks
    assert remark.missing and remark.text == f"one: no plot, because {why}."


def test_a_task_that_is_not_there_is_refused(made, named):
    with pytest.raises(FindnaError, match="nowhere"):
        embeddings_section("runs", made, named, EmbeddingRequest("nowhere"))
