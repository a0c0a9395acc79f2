"""Files that TensorBoard's own projector reads, and pictures whose colours and legend are those of a column."""

import importlib.util
import json
import re
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.embedding import EmbeddingPlot, draw, formats, partial_output, plot, sample, write_projector

TOLD = {
    "name": "self_distill", "step": 3, "branch": "teacher", "weights": "abc", "pooling": "mean", "layer": None,
    "strand": "forward", "dim": 5, "columns": ["id", "kind", "length"], "input": {},
}  # fmt: skip


def output(folder, rows=60, *, suffix=".npy", kinds=("exon", "intron", "flank"), columns=None, **changed):
    """Embeddings in as many heaps as there are kinds, written as `embed` does."""
    rng = np.random.default_rng(0)
    kind = np.arange(rows) % len(kinds)
    embeddings = (10 * rng.normal(size=(len(kinds), 5))[kind] + rng.normal(size=(rows, 5))).astype(np.float32)
    ids = [(f"row {row}", kinds[at], str(100 + row)) for row, at in enumerate(kind)]
    out = folder / f"out{suffix}"
    with partial_output.acquire(out, {**TOLD, "rows": rows, **changed}, resume=False, overwrite=False) as whole:
        whole.append(ids, embeddings)
        formats.finish(whole, out, formats.format_of(out, formats.FORMATS), frozenset())
    partial_output.remove(out)
    return out, embeddings, ids


class NoRuns:
    """A log folder in which TensorBoard finds no event file."""

    def list_runs(self, *_, **__):
        return []


def projector(folder):
    plugin = ProjectorPlugin(TBContext(logdir=str(folder), data_provider=NoRuns()))
    pages = plugin.get_plugin_apps()

    def get(page, **query):
        answer = Client(pages[page]).get("/", query_string=query)
        assert answer.status_code == 200, answer.data
        return answer.data

    return get


def test_tensorboards_projector_reads_the_folder(tmp_path):
    out, embeddings, ids = output(tmp_path)
    write_projector(sample(out), tmp_path / "deep" / "projector")
    get = projector(tmp_path / "deep" / "projector")
    assert json.loads(get("/runs")) == ["."]
    (told,) = json.loads(get("/info", run="."))["embeddings"]
    assert (told["tensorName"], told["tensorShape"]) == ("self_distill", [60, 5])
    tensor = np.frombuffer(get("/tensor", run=".", name="self_distill"), dtype=np.float32).reshape(60, 5)
    assert np.array_equal(tensor, embeddings)
    lines = get("/metadata", run=".", name="self_distill").decode().splitlines()
    assert [tuple(line.split("\t")) for line in lines] == [("id", "kind", "length"), *ids]


def test_cells_are_what_the_projector_can_split(tmp_path):
    kinds = ("", "two\twords\r\nand a line\u2028more", '"quoted"')
    out, *_ = output(tmp_path, 6, kinds=kinds, name='of "two" \\ quotes')
    write_projector(sample(out), tmp_path / "projector")
    get = projector(tmp_path / "projector")
    (told,) = json.loads(get("/info", run="."))["embeddings"]
    lines = get("/metadata", run=".", name=told["tensorName"]).decode().split("\n")
    assert lines[1:4] == ["row 0\t-\t100", "row 1\ttwo words and a line more\t101", 'row 2\t"quoted"\t102']
    assert len(lines) == 1 + 6 + 1


def test_a_column_alone_has_no_header(tmp_path):
    """TensorBoard takes a first line without a tab for data."""
    out = tmp_path / "out.npy"
    with partial_output.acquire(out, {**TOLD, "rows": 3, "columns": ["row"]}, resume=False, overwrite=False) as whole:
        whole.append([("0",), ("",), ("2",)], np.eye(3, 5, dtype=np.float32))
        formats.finish(whole, out, formats.format_of(out, formats.FORMATS), frozenset())
    write_projector(sample(out), tmp_path / "projector")
    assert (tmp_path / "projector" / "metadata.tsv").read_text() == "0\n-\n2\n"


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".zarr"])
def test_of_many_rows_a_share_is_shown_evenly_spaced(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(plot, "MAX_POINTS", 7)
    out, embeddings, ids = output(tmp_path, suffix=suffix)
    shown = sample(out)
    rows = [0, 10, 20, 30, 39, 49, 59]
    assert shown.ids == [ids[row] for row in rows]
    assert np.array_equal(shown.embeddings, embeddings[rows])
    assert shown.title == "self_distill, step 3 (teacher, mean pooling)\n7 of 60 sequences"


def text_of(folder, colour, shown, method="pca"):
    """The words in an SVG."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(shown, EmbeddingPlot(folder / "picture.svg", method, colour))
    return re.findall(r"<text[^>]*>([^<]*)</text>", (folder / "picture.svg").read_text())


def test_a_picture_says_what_it_is_of(tmp_path):
    words = text_of(tmp_path, "kind", sample(output(tmp_path, layer=1, strand="both")[0]))
    assert "self_distill, step 3 (teacher, mean pooling, layer 1, both strands)" in words
    assert "60 sequences" in words
    assert {"kind", "exon (20)", "intron (20)", "flank (20)"} < set(words)
    assert any(re.fullmatch(r"PC 1 \(\d+% of the variance\)", word) for word in words)


def test_without_a_colour_there_is_no_legend(tmp_path):
    words = text_of(tmp_path, None, sample(output(tmp_path)[0]), "tsne")
    assert {"t-SNE 1", "t-SNE 2"} < set(words)
    assert not any("exon" in word for word in words)


def test_many_categories_are_the_most_frequent_and_others(tmp_path):
    kinds = tuple(f"kind {number:02}" for number in range(30)) + ("often",) * 10
    words = text_of(tmp_path, "kind", sample(output(tmp_path, 80, kinds=kinds)[0]))
    assert "often (20)" in words
    assert "12 others (24)" in words
    assert sum(word.startswith("kind ") for word in words) == 18


def test_names_of_categories_are_taken_as_they_are(tmp_path):
    long = "x" * 20 + "y" * 20
    shown = sample(output(tmp_path, kinds=("_hidden", r"$\frac", "", long, "x" * 20 + "z" * 20))[0])
    words = text_of(tmp_path, "kind", shown)
    short = [f"{'x' * 16}...{letter * 16} (12)" for letter in "yz"]
    assert {"_hidden (12)", r"$\frac (12)", "(empty) (12)", *short} < set(words)


def colours_of(path):
    """Different saturated colours of a PNG."""
    pixels = (imread(path)[..., :3] * 255).astype(int).reshape(-1, 3)
    return np.unique(pixels[np.ptp(pixels, axis=1) > 40], axis=0)


def test_numbers_are_a_scale_and_few_numbers_are_categories(tmp_path):
    shown = sample(output(tmp_path, kinds=("0", "1"))[0])
    assert "length" in text_of(tmp_path, "length", shown)
    assert not any(word.endswith("(1)") for word in text_of(tmp_path, "length", shown)), "no legend of categories"
    assert {"0 (30)", "1 (30)"} < set(text_of(tmp_path, "kind", shown))
    draw(shown, EmbeddingPlot(tmp_path / "scale.png", colour="length"))
    assert len(colours_of(tmp_path / "scale.png")) > 100, "a scale"


@pytest.mark.parametrize("odd", ["nan", "inf", "about 7"])
def test_a_column_that_is_not_all_finite_numbers_is_of_categories(tmp_path, odd):
    kinds = (*map(str, range(12)), odd)
    assert any(word.startswith(f"{odd} (") for word in text_of(tmp_path, "kind", sample(output(tmp_path, kinds=kinds)[0])))


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")  # umap says so when it is imported
@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_every_method_and_format(tmp_path, method, suffix, begins):
    if method == "umap" and importlib.util.find_spec("umap") is None:
        pytest.skip("umap-learn is not installed: it comes with the extra umap")
    path = tmp_path / "deep" / f"picture{suffix}"
    draw(sample(output(tmp_path)[0]), EmbeddingPlot(path, method, "kind"))
    assert path.read_bytes().startswith(begins)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    if suffix == ".png":
        assert imread(path).shape == (900, 1200, 4)


@pytest.mark.parametrize("name", ["picture.gif", "picture", "picture.PNG"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(FindnaError, match=r"the suffix must be one of \.png, \.svg, \.pdf"):
        EmbeddingPlot(tmp_path / name)


@pytest.mark.parametrize(("module", "method", "sentence"), [
    ("matplotlib", "pca", r"--picture needs matplotlib, .*: pip install 'findna-kit\[plots\]'"),
    ("umap", "umap", r"--method umap needs umap, .*: pip install 'findna-kit\[umap\]'"),
])  # fmt: skip
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, module, method, sentence):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FindnaError, match=sentence):
        EmbeddingPlot(tmp_path / "picture.png", method)


def test_a_column_that_is_not_there_and_too_few_rows_are_refused_beforehand(tmp_path):
    asked = EmbeddingPlot(tmp_path / "picture.png", colour="Kind")
    with pytest.raises(FindnaError, match="--colour Kind: there is no such id column, only id, kind, length"):
        asked.check(["id", "kind", "length"], 4)
    with pytest.raises(FindnaError, match="a plot needs at least 4 rows, and there are 3"):
        asked.check(["Kind"], 3)
    asked.check(["Kind"], 4)


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    there = tmp_path / "picture.png"
    plot.refuse_existing(there, overwrite=False)
    there.write_text("good")
    with pytest.raises(OutputExists, match=r"picture\.png: already exists; use another path, or --overwrite"):
        plot.refuse_existing(there, overwrite=False)
    plot.refuse_existing(there, overwrite=True)
    with pytest.raises(OutputExists, match="already exists"):
        plot.refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(OutputExists, match=r"picture\.png: is a file, but a folder is needed"):
        plot.refuse_existing(there / "tensors.tsv", overwrite=True)


def test_a_picture_that_cannot_be_drawn_or_written_leaves_the_old_one(tmp_path):
    shown = sample(output(tmp_path)[0])
    path = tmp_path / "picture.png"
    path.write_text("the old one")
    shown.embeddings[3] = np.nan
    with pytest.raises(FindnaError, match="some embeddings are not finite"):
        draw(shown, EmbeddingPlot(path))
    assert path.read_text() == "the old one"
    with pytest.raises(
        FindnaError, match=r"cannot be written \(File exists\); the embeddings are complete: give another path, and --resume"
    ):
        write_projector(shown, path)
    assert path.read_text() == "the old one"
