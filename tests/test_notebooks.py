"""The notebooks of docs/notebooks: their format, and, slow, that a kernel executes every cell and what comes out."""

import ast
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.building import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
MACHINE = re.compile(r"/home/|/root/|/work/|/tmp/|/Users/|[A-Z]:\\\\")


@pytest.fixture(params=NAMES)
def notebook(request):
    return nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def test_its_format_is_valid_without_outputs_and_machine_paths(notebook):
    nbformat.validate(notebook)
    assert not MACHINE.search(nbformat.writes(notebook))
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    title, opening, *_ = [line for line in first.source.splitlines() if line]
    assert title.startswith("# ")
    assert opening.startswith("After this notebook you can ")
    assert re.search(r"\breal (run|study|one)\b|In place of it", first.source), "what one would use in earnest"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
            assert (cell.outputs, cell.execution_count) == ([], None)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "of no machine and version"


def test_its_links_lead_somewhere(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)", text):
        assert (FOLDER / target).is_file(), target


def executed(name, folder):
    """Return what each code cell printed and showed as text."""
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        "".join(shown.get("text") or shown.get("data", {}).get("text/plain", "") for shown in cell.outputs)
        for cell in book.cells
        if cell.cell_type == "code"
    ]


RESULTS = {
    "first-run": r"encoder +0\.\d(.|\n)*random_init(.|\n)*kmer(.|\n)*one_hot(.|\n)*majority",
    "compare-objectives": r"random initialisation +0\.\d(.|\n)*k-mer logistic regression(.|\n)*majority class",
    "embeddings": r"contig +start +label +similarity +gc\n\d+ .* 1\.0+ ",
    "fine-tune-and-predict": r"predicted +0 +1\nlabel *\n0 +\d+ +\d+\n1 +\d+ +\d+",
    "own-component": r"2 runs/agreement: .*: loss 'agreement', written in a notebook(.|\n)*`findna-kit plugins new`",
}
"""What the last cell of each notebook shows."""


def test_every_notebook_has_a_result_that_is_checked():
    assert sorted(RESULTS) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS)
def test_a_kernel_executes_it(name, tmp_path):
    shown = executed(name, tmp_path)
    assert re.search(RESULTS[name], shown[-1]), shown[-1]
