"""docs/interpret.md: its commands and examples run in their order."""

import numpy as np
import pytest

from tests.pages import follow, page


def test_the_page_runs_as_it_is_written(run, transformer_run, tmp_path):
    pytest.importorskip("logomaker", reason="the extra logos is not installed")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "self_distill-1").symlink_to(run)
    (tmp_path / "runs" / "transformer-1").symlink_to(transformer_run)
    printed = follow(page("interpret.md"), tmp_path, lambda words: words)
    shown = "".join(out for _, _, out in printed)
    assert "scores.tsv: llr of 132 substitutions of 2 sequences" in shown
    assert "bases.npy: 46 embeddings of 22 numbers, one per base of 2 sequences" in shown
    assert "(30, 4)" in shown
    assert (tmp_path / "logo.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(tmp_path / "bases.npy").shape == (46, 22)
