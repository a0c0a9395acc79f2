"""TensorBoard's HPARAMS page reads what is written."""

import subprocess
import sys

import pytest

from findna_kit.metrics import hparams
from findna_kit.metrics.hparams import Session, write_hparams
from tests.metrics.boards import read_hparams

TWO = [
    Session("low/seed-0", {"rate": "low", "seed": 0}, {"knn/mcc": 0.5, "knn/mcc/a b": 0.25}),
    Session("high+x/seed-3", {"rate": "high", "seed": 3}, {"knn/mcc": 0.75, "knn/mcc/a b": -0.25}),
]


def test_every_session_has_its_settings_and_results(tmp_path):
    write_hparams(tmp_path / "board", TWO)
    experiment, sessions = read_hparams(tmp_path / "board")
    assert sessions == {one.name: (dict(one.settings), dict(one.results)) for one in TWO}
    kinds = {
        info.name: [v.string_value or v.number_value for v in info.domain_discrete.values] for info in experiment.hparam_infos
    }
    assert kinds == {"rate": ["high", "low"], "seed": [0.0, 3.0]}
    assert [info.name.tag for info in experiment.metric_infos] == ["knn/mcc", "knn/mcc/a b"]


def test_a_board_is_replaced(tmp_path):
    write_hparams(tmp_path / "board", TWO)
    (tmp_path / ".board.123").mkdir()  # left by a kill
    write_hparams(tmp_path / "board", TWO[:1])
    assert list(read_hparams(tmp_path / "board")[1]) == ["low/seed-0"]
    assert [path.name for path in tmp_path.iterdir()] == ["board"]


def test_a_failure_leaves_the_board_as_it_was(tmp_path, monkeypatch):
    write_hparams(tmp_path / "board", TWO)
    monkeypatch.setattr(hparams, "_summaries", lambda session: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_hparams(tmp_path / "board", TWO[:1])
    assert len(read_hparams(tmp_path / "board")[1]) == 2


def test_it_needs_no_torch(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom findna_kit.metrics.hparams import Session, write_hparams\n"
        f"write_hparams(Path({str(tmp_path / 'board')!r}), [Session('a', {{'x': 1}}, {{'y': 1.0}})])\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert read_hparams(tmp_path / "board")[1] == {"a": ({"x": 1.0}, {"y": 1.0})}
