"""`findna-kit embed`: what it prints, a kill and Ctrl-C in a process of its own, every wrong input, and docs/embed.md."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import findna_kit
from findna_kit.inference.embedding import partial_output
from tests.building import ROOT
from tests.inference.embedding.conftest import dna, fasta, made, written
from tests.installing import findna


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """10,000 windows of 64 bases: seconds of work, in blocks of 1024."""
    return fasta(tmp_path_factory.mktemp("long") / "long.fa", [("one", dna(10_063))])


@pytest.fixture
def table(tmp_path):
    return written(tmp_path / "some.csv", "sequence,label\n" + "".join(f"{dna(30, row)},{row % 2}\n" for row in range(12)))


def line(run, long, out, *more):
    return ["embed", run, long, "--window", 64, "--overlap", 63, "--out", out, "--device", "cpu", *more]


def started(*arguments, **kwargs):
    # With the lowest priority: on a busy machine it would otherwise be finished before the test sees its first rows.
    return subprocess.Popen(
        ["nice", "-n", "19", sys.executable, "-m", "findna_kit", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def wait_for_rows(out, process):
    until = time.monotonic() + 120
    while not (partial_output.read_state(out) or {"rows": 0})["rows"]:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(run, long, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out.npy"
    code, printed, said = findna(*line(run, long, out))
    assert code == 0, said
    assert printed == f"{out}: 10,000 embeddings of 22 numbers, from the teacher at step 3\n"
    assert "embedding: 10,000 of 10,000 sequences" in said
    return out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_killed_and_gone_on_with_it_is_equal_bit_for_bit(run, long, uninterrupted, tmp_path, number, code):
    out = tmp_path / "out.npy"
    process = started(*line(run, long, out))
    wait_for_rows(out, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    kept = partial_output.read_state(out)["rows"]
    assert 0 < kept < 10_000
    assert not out.exists()
    if number == signal.SIGINT:
        assert f"{kept} of 10000 rows are saved; continue with --resume" in said
    code, _, said = findna(*line(run, long, out))
    assert code == 2
    assert f"contains {kept} of 10000 rows of an interrupted call; continue with --resume" in said
    code, _, said = findna(*line(run, long, out, "--resume"))
    assert code == 0, said
    assert f"continuing after row {kept} of 10000" in said
    assert "resumed with" not in said, "nothing that rounding hangs on has changed"
    for name in ("out.npy", "out.npy.ids.tsv", "out.npy.json"):
        assert (tmp_path / name).read_bytes() == (uninterrupted.parent / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npy", "out.npy.ids.tsv", "out.npy.json"]


def test_an_overwrite_that_a_full_disk_stops_leaves_the_old_one(run, tmp_path, table):
    out = tmp_path / "out.npy"
    assert findna("embed", run, table, "--out", out)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("out*")}
    many = written(tmp_path / "many.csv", "sequence\n" + "ACGT\n" * 900)

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    process = started("embed", run, many, "--out", out, "--overwrite", "--device", "cpu", preexec_fn=little_room)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    reason = "cannot be written (File too large); complete blocks are kept there: free some space and continue with --resume"
    assert reason in said
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    code, _, said = findna("embed", run, many, "--out", out, "--resume")
    assert code == 0, said
    assert np.load(out).shape == (900, 22)


def test_ctrl_c_before_the_first_row_and_in_the_picture_is_a_sentence(run, table, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    out, asked = tmp_path / "out.npy", ("embed", run, table, "--out", tmp_path / "out.npy", "--picture", tmp_path / "p.png")
    with monkeypatch.context() as patch:
        patch.setattr("findna_kit.inference.embedding.prepare", stop)
        code, _, said = findna(*asked)
    assert (code, said) == (130, "stopped by Ctrl-C; nothing was embedded\n")
    with monkeypatch.context() as patch:
        patch.setattr("findna_kit.inference.embedding.draw", stop)
        code, _, said = findna(*asked)
    assert code == 130
    assert said.endswith(f"stopped by Ctrl-C; {out} is complete; --resume writes the rest\n")
    code, printed, _ = findna(*asked, "--resume")
    assert code == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert f"{tmp_path / 'p.png'}: the plot" in printed


def test_options_reach_the_model(run, table, tmp_path):
    texts = [row.split(",")[0] for row in table.read_text().splitlines()[1:]]
    out = tmp_path / "out.npy"
    more = ("--pooling", "class", "--strand", "both", "--branch", "student", "--step", 0)
    assert findna("embed", run, table, "--out", out, *more)[0] == 0
    model = findna_kit.load(run, "student", step=0)
    assert np.array_equal(np.load(out), model.embed(texts, "class", strand="both"))
    assert findna("embed", run, table, "--out", out, "--layer", 0, "--overwrite")[0] == 0
    assert np.array_equal(np.load(out), findna_kit.load(run).embed(texts, layer=0))


def test_projector_and_picture_stay_where_they_are_whole(run, table, tmp_path):
    shown = ("--projector", tmp_path / "p", "--picture", tmp_path / "p.svg", "--colour", "label", "--method", "tsne")
    code, printed, _ = findna("embed", run, table, "--out", tmp_path / "out.npy", *shown)
    assert code == 0
    assert f"`tensorboard --logdir {tmp_path / 'p'}` shows them in its projector" in printed
    before = (tmp_path / "p.svg").read_bytes()
    code, _, said = findna("embed", run, table, "--out", tmp_path / "other.npy", *shown)
    assert code == 2
    assert "p.svg: already exists; use another path, or --overwrite" in said
    assert not (tmp_path / "other.npy").exists()
    code, _, said = findna("embed", run, table, "--out", tmp_path / "out.npy", *shown, "--resume")
    assert code == 0
    assert f"{tmp_path / 'p.svg'}: already exists and is kept" in said
    assert (tmp_path / "p.svg").read_bytes() == before


def test_of_very_many_rows_a_share_is_shown_and_it_is_said(run, table, tmp_path, monkeypatch):
    monkeypatch.setattr("findna_kit.inference.embedding.plot.MAX_POINTS", 5)
    _, _, said = findna("embed", run, table, "--out", tmp_path / "out.npy", "--projector", tmp_path / "p")
    assert "5 of 12 sequences are shown, evenly spaced" in said
    assert len((tmp_path / "p" / "tensors.tsv").read_text().splitlines()) == 5


BAD = {
    "no run": ("{tmp} some.csv --out o.npy", "is not a run folder"),
    "no input": ("{run} none.csv --out o.npy", "none.csv cannot be read (No such file or directory)"),
    "empty FASTA": ("{run} empty.fa --out o.npy", "empty.fa is empty"),
    "protein CSV": ("{run} protein.csv --out o.npy", "protein.csv:2: 'E' is not a nucleotide letter"),
    "ragged CSV": ("{run} ragged.csv --out o.npy", "ragged.csv:2: has 1 cells, and the header 2 columns"),
    "no column": ("{run} nosequence.csv --out o.npy", "the columns are gene: choose one by --sequence-column"),
    "BED alone": ("{run} some.bed --out o.npy", "some.bed is a BED, which contains no bases: give --genome FASTA"),
    "beyond": ("{run} some.bed --genome g.fa --out o.npy", "some.bed:1: 0-500 ends beyond 'one', which has 70 bases"),
    "overlap alone": ("{run} g.fa --overlap 5 --out o.npy", "--overlap 5 needs --window N as well"),
    "overlap too large": ("{run} g.fa --window 5 --overlap 5 --out o.npy", "it must be at least 0 and less than --window"),
    "suffix": ("{run} some.csv --out o.h5", "the suffix must be one of .npy, .parquet, .zarr"),
    "layer": ("{run} some.csv --out o.npy --layer 9", "layer 9: the encoder has the hidden layers 0 to 1"),
    "step": ("{run} some.csv --out o.npy --step 1", "has no checkpoint of step 1; saved: 0, 3"),
    "device": ("{run} some.csv --out o.npy --device tpu", "tpu"),
    "both": ("{run} some.csv --out o.npy --resume --overwrite", "give only one of them"),
    "colour alone": ("{run} some.csv --out o.npy --colour label", "give --picture FILE.png as well"),
    "method alone": ("{run} some.csv --out o.npy --method pca", "give --picture FILE.png as well"),
    "colour": ("{run} some.csv --out o.npy --picture p.png --colour size", "there is no such id column, only label"),
    "few rows": ("{run} few.csv --out o.npy --picture p.png", "a plot needs at least 4 rows, and there are 2"),
    "picture": ("{run} some.csv --out o.npy --picture p.gif", "the suffix must be one of .png, .svg, .pdf"),
    "projector": ("{run} some.csv --out o.npy --projector some.csv", "some.csv: is a file, but a folder is needed"),
    "method": ("{run} some.csv --out o.npy --picture p.png --method mds", "'mds' is not one of 'pca', 'tsne', 'umap'"),
    "out below a file": ("{run} some.csv --out some.csv/o.npy", "cannot be written (Not a directory)"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD)
def test_every_mistake_is_a_sentence_and_exit_code_2(run, table, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "empty.fa": "", "g.fa": f">one\n{dna(70)}\n", "protein.csv": "sequence\nMKTAYEQL\n".replace("MKTAY", "ACGT"),
        "ragged.csv": "sequence,label\nACGT\n", "nosequence.csv": "gene\nACGT\n", "some.bed": "one\t0\t500\n",
        "few.csv": "sequence\nAC\nGT\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.iterdir())
    code, printed, said = findna(
        "embed", *(partial_output.format(run=run, tmp=tmp_path) for partial_output in arguments.split())
    )
    assert (code, printed) == (2, ""), said
    assert sentence in said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


def test_class_pooling_without_class_tokens(table, tmp_path):
    run = made(tmp_path / "run", "chordmixer", "class_tokens=0", "losses.distill=null")
    code, _, said = findna("embed", run, table, "--out", tmp_path / "out.npy", "--pooling", "class")
    assert code == 2
    assert "pooling 'class': the recipe has no class tokens; use pooling 'mean'" in said


@pytest.mark.parametrize(("arguments", "module", "sentence"), [
    (("--out", "o.parquet"), "pyarrow", "o.parquet needs pyarrow, which is not installed: pip install 'findna-kit[parquet]'"),
    (("--out", "o.zarr"), "zarr", "--out o.zarr needs zarr, which is not installed: pip install 'findna-kit[zarr]'"),
    (("--out", "o.npy", "--picture", "p.png"), "matplotlib", "--picture needs matplotlib, which is not installed"),
    (("--out", "o.npy", "--picture", "p.png", "--method", "umap"), "umap", "--method umap needs umap, which is not installed"),
])  # fmt: skip
def test_a_missing_extra_is_named(run, table, tmp_path, monkeypatch, arguments, module, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    code, _, said = findna("embed", run, table, *arguments)
    assert code == 2
    assert sentence in said


COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```$", (ROOT / "docs" / "embed.md").read_text(), re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
]


def test_the_page_runs_as_it_is_written(tmp_path, monkeypatch):
    """Every command of docs/embed.md, in its order, in one folder, with a run in the place that it names."""
    run = made(tmp_path / "run", "dilated_conv", "encoder={name: dilated_conv, dim: 8, hidden: 8, blocks: 1, kernel: 3}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "self_distill-1").symlink_to(run)
    (tmp_path / "findna_kit").symlink_to(ROOT / "findna_kit")
    ran = 0
    for text in COMMANDS:
        words = shlex.split(text, comments=True)
        if words[:1] == ["findna-kit"] and words[1] == "embed":
            code, _, said = findna(*words[1:])
            assert code == 0, (text, said)
            ran += 1
        elif words[:1] == ["printf"]:
            subprocess.run(text, shell=True, check=True, env=os.environ)
    assert ran >= 5
    assert (tmp_path / "coding.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_python_that_runs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "self_distill-1").symlink_to(run)
    np.save(tmp_path / "coding.npy", np.zeros((2, 3), dtype=np.float32))
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "embed.md").read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
