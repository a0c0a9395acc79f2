"""Sphinx builds the pages without a warning: none is missing or loads from the network, and searching finds them."""

import json
import re
import subprocess
import sys

import pytest

from tests.building import ROOT

pytest.importorskip("sphinx", reason="the extra docs is not installed")
from sphinx.search.en import SearchEnglish

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
LOADED = re.compile(
    r"""(?:src|srcset|data)=["'](?:https?:)?//|<link[^>]*href=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
)


FINDS = {
    "validation loss": "metrics",
    "batch size": "training",
    "learning rate": "training",
    "GPU": "installation",
    "CUDA": "installation",
    "install": "installation",
    "hyperparameter": "tune",
    "checkpoint frequency": "training",
    "resume": "training",
    "out of memory": "training",
    "notebook": "embed",
    "baseline": "evaluate",
    "control": "evaluate",
    "collapse": "metrics",
    "ablation": "compare-objectives",
    "slurm": "slurm-studies",
    "fine-tune": "fine-tune",
    "leakage": "audit-tasks",
    "variant": "score-variants",
    "embedding": "embed",
    "onnx": "export",
    "RankMe": "glossary",
    "write plugin": "write-a-plugin",
    "VCF": "score-variants",
    "attention weights": "interpret",
    "mutagenesis": "interpret",
    "reverse complement": "pretrain",
}
"""What a reader searches for, and a page that must be among the first eight results."""


def built(source, out, *options):
    line = [sys.executable, "-m", "sphinx", "--keep-going", "-n", "-q", "-b", "html", *options, str(source), str(out)]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs") / "html"
    done = built(DOCS, out, "-W")
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_every_page_is_there_and_in_the_index(site):
    index = (site / "index.html").read_text()
    for page in PAGES:
        assert (site / f"{page}.html").is_file()
        assert f'href="{page}.html"' in index or page == "index" or page.startswith("decisions/0"), page


def test_nothing_is_loaded_from_the_network(site):
    assert LOADED.search('<script src="https://cdn.example/x.js">')
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not LOADED.search(path.read_text()), path


def found(index, query):
    """Pages in the order of Sphinx's searchtools.js: every word is on the page; its title counts more than its text."""
    stem = SearchEnglish({}).stem
    everywhere = range(len(index["docnames"]))
    words = [dict.fromkeys(everywhere, 0.0) for _ in re.findall(r"\w+", query)]
    for points, word in zip(words, re.findall(r"\w+", query.lower()), strict=True):
        for name, value in (("terms", 5), ("titleterms", 15)):
            pages = index[name].get(stem(word), [])
            points.update(dict.fromkeys([pages] if isinstance(pages, int) else pages, value))
    score = {page: max(points[page] for points in words) for page in everywhere if all(points[page] for points in words)}
    for title, places in index["alltitles"].items():
        if query.lower() in title.lower() and 2 * len(query) >= len(title):
            for page, anchor in places:
                score[page] = max(score.get(page, 0), 15 * len(query) / len(title) + (anchor is None))
    return [index["docnames"][page] for page in sorted(score, key=lambda page: (-score[page], index["titles"][page]))]


@pytest.mark.parametrize("query", FINDS)
def test_searching_finds_the_page(site, query):
    text = (site / "searchindex.js").read_text()
    results = found(json.loads(text[text.index("(") + 1 : text.rindex(")")]), query)
    assert FINDS[query] in results[:8]


def test_code_can_be_copied(site):
    assert "copybutton.js" in (site / "quickstart.html").read_text()


def test_a_link_that_leaves_the_pages_is_its_path(site):
    text = re.sub("</?(?:span|code)[^>]*>", "", (site / "benchmarks.html").read_text())
    ((said, path),) = re.findall(r"\[([^\]]*)\]\(\.\./(tests/\S+)\)", (DOCS / "benchmarks.md").read_text())
    assert said == path and path in text
    assert f"{path}</a>" not in text
    assert "Contributing (CONTRIBUTING.md)" in re.sub("</?(?:span|code)[^>]*>", "", (site / "index.html").read_text())
    copied = sorted(path.name for path in (site / "_downloads").rglob("*") if path.is_file())
    notebooks = [path.name for path in (DOCS / "notebooks").iterdir()]
    results = [path.name for path in (DOCS / "results").iterdir()]
    assert copied == sorted([*results, *notebooks]), "what lies in docs/ and is no page, and nothing from outside"


def test_a_drawing_stays_the_text_it_is(site):
    assert "flowchart TB" in re.sub("<[^>]+>", "", (site / "architecture.html").read_text())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[gone](../no/such.md)", "no/such"),
        ("[gone](nowhere.md)", "nowhere"),
        ("[gone](#no-such-place)", "no-such-place"),
        ("[gone](other.md#no-such-place)", "no-such-place"),
    ],
)
def test_a_broken_link_is_an_error(tmp_path, line, said):
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "conf.py").write_text((DOCS / "conf.py").read_text())
    (pages / "index.md").write_text(f"# Title\n\n{line}\n\n```{{toctree}}\nother\n```\n")
    (pages / "other.md").write_text("# Other\n")
    done = built(pages, tmp_path / "out", "-W")
    assert done.returncode == 1
    assert said in done.stderr
