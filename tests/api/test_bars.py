"""Progress bars: HTML in a notebook, none in a log."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from findna_kit.api import bars, terminal
from findna_kit.api.progress import TrainingProgress


@pytest.fixture
def notebook(monkeypatch):
    """A kernel of Jupyter as far as the kit asks, and what it was given to show."""
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, *, display_id):
        assert display_id
        shown.append(html)
        return Handle()

    ipython, shown_by = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    shown_by.HTML, shown_by.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown_by)
    return shown


def test_a_notebook_gets_one_bar_that_is_updated_and_erased(notebook, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    with TrainingProgress(100) as training:
        for step in range(1, 101):
            training(step, {"loss": 2.5} if step == 50 else {})
            now[0] += 0.125  # exact in binary
    assert len(notebook) == 1 + 49 + 1 + 1, "at most five a second, the last step, and the erasing"
    assert (
        notebook[0]
        == "training <progress value='1' max='100' style='width: 16em; vertical-align: middle'></progress> 1/100 steps"
    )
    assert "training, loss 2.5000 " in notebook[-2]
    assert "100/100 steps, 0 s left" in notebook[-2]
    assert notebook[-1] == ""


def test_a_notebook_gets_lines_on_stdout(notebook, capsys):
    terminal.log("a remark")
    assert capsys.readouterr() == ("a remark\n", "")


def test_titles_are_text(notebook):
    bar = bars.open_bar("<b>", "items")
    bar.move(0, 2)
    bar.stop()
    bar.stop()
    assert notebook[0].startswith("&lt;b&gt; ")
    assert notebook[1:] == [""]


def test_a_program_that_only_imports_ipython_is_no_notebook(monkeypatch):
    ipython = ModuleType("IPython")
    for shell in (None, SimpleNamespace()):
        ipython.get_ipython = lambda shell=shell: shell
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert not terminal.in_notebook()
        assert bars.open_bar("training", "steps") is None
