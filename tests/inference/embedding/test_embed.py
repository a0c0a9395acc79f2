"""Files are embedded as `findna_kit.load(run).embed` embeds lists: the same numbers, whatever the batch, a block at a time."""

import csv
import json
import logging
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import findna_kit
from findna_kit.errors import FindnaError, Interrupted, OutputExists
from findna_kit.inference.embedding import EmbedOptions, Output, Sequences, Tiling, blocks, formats, partial_output, prepare
from findna_kit.inference.frozen_model import FrozenModel
from findna_kit.trainer import Observer

from .conftest import ENCODERS, dna, fasta, made, turned, written

GENOME = [("one", dna(700)), ("two", dna(90, 1)), ("three", dna(33, 2, "ACGTN"))]
BED = "one\t600\t700\t\t\t-\ntwo\t0\t90\tpeak\t3\t+\none\t5\t6\n"
TABLE = f"label,sequence\n1,{dna(100, 3)}\n0,{dna(40, 4).lower()}\n1,ACGTN\n"


def go(run, sequences, out, way=None, *, overwrite=False, resume=False, observer=None):
    observer = observer or Observer()
    made = prepare(run, sequences, Output(out, overwrite, resume), way or EmbedOptions(device="cpu"), observer)
    made.write(observer)
    return made


def inputs(folder, kind):
    """A file of that kind as it is given, and its sequences."""
    genome = fasta(folder / "genome.fa", GENOME)
    one, two, three = (text for _, text in GENOME)
    if kind == "records":
        return Sequences(genome), [one, two, three]
    if kind == "windows":
        starts = [*range(0, 601, 50)]
        return Sequences(genome, windows=Tiling(100, 50)), [*(one[start : start + 100] for start in starts), two, three]
    if kind == "bed":
        return Sequences(written(folder / "some.bed", BED), str(genome)), [turned(one[600:]), two, one[5]]
    table = written(folder / "some.csv.gz", TABLE)
    return Sequences(table), [line.split(",")[1] for line in TABLE.splitlines()[1:]]


def read(out):
    """Embeddings, and the ids below their header."""
    count = formats.read_description(out)["rows"]
    return formats.format_of(out, formats.FORMATS).read(out, formats.read_description(out)["columns"], np.arange(count))


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".zarr"])
@pytest.mark.parametrize("kind", ["records", "windows", "bed", "table"])
def test_every_file_in_every_format_is_what_load_embeds(run, model, tmp_path, kind, suffix):
    given_, sequences = inputs(tmp_path, kind)
    out = tmp_path / "deep" / f"out{suffix}"
    go(run, given_, out)
    embeddings, ids = read(out)
    assert np.array_equal(embeddings, model.embed(sequences))
    assert len(ids) == len(sequences)
    beside = {f"out{suffix}", f"out{suffix}.json", *(["out.npy.ids.tsv"] if suffix == ".npy" else [])}
    assert {path.name for path in out.parent.iterdir()} == beside


@pytest.mark.parametrize(("way", "asked"), [
    ({"pooling": "class"}, {"pooling": "class"}), ({"pooling": "mean_std"}, {"pooling": "mean_std"}),
    ({"layer": 0}, {"layer": 0}), ({"strand": "both"}, {"strand": "both"}),
    ({"branch": "student"}, {}), ({"step": 0}, {}),
])  # fmt: skip
def test_the_way_is_that_asked_for(run, tmp_path, way, asked):
    given_, sequences = inputs(tmp_path, "records")
    made_ = go(run, given_, tmp_path / "out.npy", EmbedOptions(device="cpu", **way))
    model = findna_kit.load(run, way.get("branch"), step=way.get("step"), device="cpu")
    wanted = model.embed(sequences, **asked)
    assert np.array_equal(np.load(tmp_path / "out.npy"), wanted)
    default = findna_kit.load(run, device="cpu").embed(sequences)
    assert not (wanted.shape == default.shape and np.allclose(wanted, default, rtol=1e-3)), "the way makes no difference"
    told = json.loads((tmp_path / "out.npy.json").read_text())
    assert told == json.loads(json.dumps(made_.description))
    for key, value in {"pooling": "mean", "layer": None, "strand": "forward", "branch": "teacher", "step": 3, **way}.items():
        assert told[key] == value
    assert (told["precision"], told["dim"], told["rows"]) == ("fp32", wanted.shape[1], 3)


@given(st.lists(st.integers(1, 12), max_size=12), st.integers(1, 4), st.integers(1, 20))
def test_from_any_blocks_first_row_on_the_blocks_are_the_same(lengths, most, bases):
    rows = [((str(number),), "A" * length) for number, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", most)
        patch.setattr(blocks, "BASES", bases)
        grouped = list(blocks.blocks(rows, _bases))
        assert [row for block in grouped for row in block] == rows
        for number, block in enumerate(grouped):
            assert 1 <= len(block) <= most
            assert len(block) == 1 or sum(map(_bases, block)) <= bases
            done = sum(len(before) for before in grouped[:number])
            assert list(blocks.blocks(islice(rows, done, None), _bases)) == grouped[number:]


def _bases(row):
    return len(row[1])


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_blocks_change_an_embedding_by_rounding_alone(run, model, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(blocks, "ROWS", 3)
    given_, sequences = inputs(tmp_path, "windows")
    seen = []
    go(run, given_, tmp_path / f"out{suffix}", observer=Observer(report=lambda done, _: seen.append(done)))
    np.testing.assert_allclose(read(tmp_path / f"out{suffix}")[0], model.embed(sequences), rtol=1e-4, atol=1e-6)
    assert seen == [3, 6, 9, 12, 15]


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request, tmp_path_factory):
    return findna_kit.load(made(tmp_path_factory.mktemp("runs") / request.param, request.param), device="cpu")


def near(found, wanted):
    """Within 1e-5 of the length of each embedding."""
    difference = np.linalg.norm(found.astype(np.float64) - wanted, axis=1)
    assert (difference <= 1e-5 * np.linalg.norm(wanted, axis=1)).all(), difference


@pytest.mark.parametrize(("pooling", "layer"), [("mean", None), ("class", None), ("mean_std", None), ("mean_std", 0)])
@settings(max_examples=15)
@given(data=st.data())
def test_batch_order_and_padding_change_no_embedding(encoder, pooling, layer, data):
    """A sequence alone is what it is beside longer ones, which pad it, in any order: 1e-5 of its length, in fp32."""
    lengths = data.draw(st.lists(st.integers(1, 62) | st.integers(63, 200), min_size=2, max_size=7))
    sequences = [dna(length, number, "ACGTN") for number, length in enumerate(lengths)]
    alone = np.concatenate([encoder.embed([sequence], pooling, layer=layer) for sequence in sequences])
    order = data.draw(st.permutations(range(len(sequences))))
    near(encoder.embed([sequences[at] for at in order], pooling, layer=layer), alone[list(order)])
    split = data.draw(st.integers(1, len(sequences) - 1))
    parts = [encoder.embed(some, pooling, layer=layer) for some in (sequences[:split], sequences[split:])]
    near(np.concatenate(parts), alone)


def test_a_sequence_is_padded_there(encoder, monkeypatch):
    """That the test above tests padding: short and long go through the network together, and padding is not valid."""
    widths = []
    original = FrozenModel.view

    def watched(self, pieces):
        view = original(self, pieces)
        widths.append((len(pieces), view.valid.shape[1], int(view.valid.sum())))
        return view

    monkeypatch.setattr(FrozenModel, "view", watched)
    encoder.embed([dna(7), dna(60)])
    assert widths == [(2, 60, 67)]


def test_beyond_the_encoders_length_windows_are_averaged_and_it_is_said_once(transformer_run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(blocks, "ROWS", 1)
    bound = findna_kit.load(transformer_run, device="cpu").network.encoder.max_length
    texts = [dna(bound), dna(3 * bound, 1), dna(bound + 10, 2), dna(5, 3)]
    table = written(tmp_path / "some.csv", "sequence\n" + "\n".join(texts) + "\n")
    said = []
    with caplog.at_level(logging.WARNING):
        go(transformer_run, Sequences(table), tmp_path / "out.npy", observer=Observer(said.append))
        assert said == [
            f"sequences longer than the encoder's {bound} are averaged over overlapping windows "
            f"(the longest has {3 * bound} bases)"
        ]
        assert caplog.text == ""
        model = findna_kit.load(transformer_run, device="cpu")
        found = model.embed(texts)
        assert f"2 of 4 sequences are longer than the encoder's {bound}" in caplog.text, "the log is only quiet inside"
    windows = [texts[1][half : half + bound] for half in range(0, 2 * bound + 1, bound // 2)]
    by_hand = np.average(model.embed(windows), axis=0, weights=[len(window) for window in windows])
    near(np.load(tmp_path / "out.npy"), found)
    near(found[[1]], by_hand[None])
    near(found[[2]], model.embed([texts[2][:bound], texts[2][10:]]).mean(0, keepdims=True))
    said.clear()
    go(
        transformer_run,
        Sequences(fasta(tmp_path / "x.fa", [("x", texts[1])]), windows=Tiling(bound)),
        tmp_path / "b.npy",
        observer=Observer(said.append),
    )
    assert said == [], "windows that fit are not averages"


def test_averages_are_weighted_by_nucleotides():
    from findna_kit.inference.batched_network import _average

    found = np.array([[1.0, 0.0], [5.0, 4.0], [7.0, 7.0]], dtype=np.float32)
    averaged = _average(found, np.array([0, 0, 1]), np.array([3, 1, 9]), 2)
    assert averaged.tolist() == [[2.0, 1.0], [7.0, 7.0]]


class Stop:
    """Interrupts as Ctrl-C does, once so many rows are done."""

    def __init__(self, after):
        self.after = after

    def __call__(self, done, _):
        if done >= self.after:
            raise KeyboardInterrupt


def content(out):
    """Every byte of an output and of what lies beside it."""
    paths = [out, *out.parent.glob(f"{out.name}.*")]
    files = sorted(path for one in paths for path in ([one] if one.is_file() else one.rglob("*")) if path.is_file())
    return {str(path.relative_to(out.parent)): path.read_bytes() for path in files}


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".zarr"])
def test_interrupted_and_gone_on_with_it_is_equal_bit_for_bit(run, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(blocks, "ROWS", 3)
    given_, _ = inputs(tmp_path, "windows")
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    go(run, given_, tmp_path / "whole" / f"out{suffix}")
    out = tmp_path / "cut" / f"out{suffix}"
    for after in (3, 9):
        with pytest.raises(Interrupted, match=f"{after} of 15 rows are saved; continue with --resume") as stopped:
            go(run, given_, out, resume=after > 3, observer=Observer(report=Stop(after)))
        assert stopped.value.exit_code == 130
    said = []
    go(run, given_, out, resume=True, observer=Observer(said.append))
    assert said == [f"{out}: continuing after row 9 of 15"]
    assert content(out) == content(tmp_path / "whole" / f"out{suffix}")
    assert not partial_output.partial_folder(out).exists()


def test_another_machine_goes_on_to_rounding_and_it_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 3)
    given_, _ = inputs(tmp_path, "windows")
    out = tmp_path / "out.npy"
    with pytest.raises(Interrupted):
        go(run, given_, out, observer=Observer(report=Stop(3)))
    state = partial_output.partial_folder(out) / partial_output.STATE
    state.write_text(state.read_text().replace('"threads": 1', '"threads": 64'))
    said = []
    go(run, given_, out, resume=True, observer=Observer(said.append))
    assert said[1] == "resumed with threads 1, was 64: equal to rounding, not bit for bit"


def stopped(run, sequences, out, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(blocks, "ROWS", 2)
        go(run, sequences, out, observer=Observer(report=Stop(2)))


@pytest.mark.parametrize("whole", [False, True], ids=["of a part", "of a whole"])
def test_resume_with_other_settings_or_another_input_is_refused(run, tmp_path, monkeypatch, whole):
    given_, _ = inputs(tmp_path, "windows")
    out = tmp_path / "out.npy"
    if whole:
        go(run, given_, out)
    else:
        stopped(run, given_, out, monkeypatch)
    before = content(out)
    for way, sentence in [
        ({"pooling": "class"}, "pooling: mean there, class now"), ({"layer": 0}, "layer: None there, 0 now"),
        ({"strand": "both"}, "strand: forward there, both now"), ({"step": 0}, "step: 3 there, 0 now"),
        ({"branch": "student"}, "branch: teacher there, student now"),
    ]:  # fmt: skip
        with pytest.raises(FindnaError, match=f"contains other results; --resume needs the same(.|\n)*{sentence}"):
            go(run, given_, out, EmbedOptions(device="cpu", **way), resume=True)
    with pytest.raises(FindnaError, match=r"input.overlap: 50 there, 20 now"):
        go(run, Sequences(given_.path, windows=Tiling(100, 20)), out, resume=True)
    other = fasta(tmp_path / "other.fa", [("one", dna(700, 9)), *GENOME[1:]])
    with pytest.raises(FindnaError, match=r"input.digest: \w+ there, \w+ now"):
        go(run, Sequences(other, windows=given_.windows), out, resume=True)
    assert content(out) == before


def test_other_weights_of_the_same_name_are_refused(run, tmp_path, monkeypatch):
    given_, _ = inputs(tmp_path, "windows")
    stopped(run, given_, tmp_path / "out.npy", monkeypatch)
    other = made(tmp_path / "other", "chordmixer", "seed=99")
    with pytest.raises(FindnaError, match=r"weights: \w+ there, \w+ now"):
        go(other, given_, tmp_path / "out.npy", resume=True)


def test_the_run_may_have_moved(run, tmp_path, monkeypatch):
    given_, sequences = inputs(tmp_path, "windows")
    stopped(run, given_, tmp_path / "out.npy", monkeypatch)
    moved = shutil.copytree(run, tmp_path / "moved")
    go(moved, given_, tmp_path / "out.npy", resume=True)
    assert len(np.load(tmp_path / "out.npy")) == len(sequences)


def test_where_all_is_there_nothing_is_embedded(run, tmp_path, monkeypatch):
    given_, _ = inputs(tmp_path, "records")
    go(run, given_, tmp_path / "out.npy")
    before, asked, said = content(tmp_path / "out.npy"), [], []
    original = FrozenModel.embed
    monkeypatch.setattr(FrozenModel, "embed", lambda self, some, *a, **k: asked.extend(some) or original(self, some, *a, **k))
    go(run, given_, tmp_path / "out.npy", resume=True, observer=Observer(said.append))
    assert (asked, said) == ([], [f"{tmp_path / 'out.npy'}: is complete already (3 rows); nothing is left to do"])
    assert content(tmp_path / "out.npy") == before


def test_an_output_is_replaced_only_when_it_is_said(run, model, tmp_path):
    given_, sequences = inputs(tmp_path, "records")
    out = tmp_path / "out.npy"
    go(run, given_, out, EmbedOptions(device="cpu", strand="both"))
    before = content(out)
    with pytest.raises(OutputExists, match="already exists; use another --out, or --overwrite"):
        go(run, given_, out)
    assert content(out) == before
    go(run, given_, out, overwrite=True)
    assert np.array_equal(np.load(out), model.embed(sequences))


def test_somebody_elses_file_is_not_gone_on_with(run, tmp_path):
    given_, _ = inputs(tmp_path, "records")
    (tmp_path / "out.npy").write_bytes(b"not ours")
    with pytest.raises(OutputExists, match=r"out\.npy: already exists"):
        go(run, given_, tmp_path / "out.npy", resume=True)
    assert (tmp_path / "out.npy").read_bytes() == b"not ours"
    with pytest.raises(FindnaError, match="--overwrite starts again and --resume continues: give only one of them"):
        Output(tmp_path / "out.npy", overwrite=True, resume=True)


def test_an_overwrite_that_is_stopped_leaves_the_old_one(run, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 1)
    given_, _ = inputs(tmp_path, "records")
    out = tmp_path / "out.npy"
    go(run, given_, out, EmbedOptions(device="cpu", strand="both"))
    before = content(out)
    with pytest.raises(Interrupted):
        go(run, given_, out, overwrite=True, observer=Observer(report=Stop(2)))
    after = content(out)
    assert {name: after[name] for name in before} == before
    go(run, given_, out, resume=True)
    assert not np.array_equal(np.load(out), np.frombuffer(before["out.npy"][-3 * 22 * 4 :], "<f4").reshape(3, 22))
    assert {path.name for path in out.parent.glob("out.npy*")} == set(before)


def test_an_input_that_shrinks_while_it_is_read_is_seen(run, tmp_path):
    table = written(tmp_path / "some.csv", TABLE.replace(".gz", ""))
    observer = Observer()
    made_ = prepare(run, Sequences(table), Output(tmp_path / "out.npy"), EmbedOptions(device="cpu"), observer)
    table.write_text("".join(line + "\n" for line in TABLE.splitlines()[:-1]))
    with pytest.raises(FindnaError, match=r"some\.csv changed while it was read; start again with --overwrite"):
        made_.write(observer)
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(("way", "sentence"), [
    ({"layer": 7}, "layer 7: the encoder has the hidden layers 0 to 1"),
    ({"layer": 0, "pooling": "class"}, "pooling 'class' needs the output of the encoder, not a hidden layer"),
    ({"step": 2}, "has no checkpoint of step 2; saved: 0, 3"),
])  # fmt: skip
def test_what_the_model_cannot_give_is_refused_before_anything_is_written(run, tmp_path, way, sentence):
    given_, _ = inputs(tmp_path, "records")
    with pytest.raises(FindnaError, match=sentence):
        go(run, given_, tmp_path / "out.npy", EmbedOptions(device="cpu", **way))
    assert not list(tmp_path.glob("out*"))


def test_ids_of_windows_are_integers_where_they_are_numbers(run, tmp_path):
    given_, _ = inputs(tmp_path, "windows")
    go(run, given_, tmp_path / "out.npy")
    with (tmp_path / "out.npy.ids.tsv").open() as text:
        ids = list(csv.reader(text, delimiter="\t"))
    assert ids[:2] == [["id", "contig", "start", "end"], ["one:0-100", "one", "0", "100"]]


PROBE = """
import sys
from findna_kit.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
# Not getrusage: its peak is inherited from the process that started this one.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc, which is not here")
def test_memory_does_not_grow_with_the_windows(tmp_path):
    """10,000 windows of 1000 bases against 2,000, of small genomes: held, letters and tokens would be 16 MB more."""
    run = made(tmp_path / "run", "dilated_conv", "encoder={name: dilated_conv, dim: 8, hidden: 8, blocks: 1, kernel: 3}")
    peaks = []
    for windows in (2_000, 10_000):
        genome = fasta(tmp_path / f"{windows}.fa", [("one", dna(1000 + 50 * (windows - 1)))])
        out = tmp_path / f"{windows}.npy"
        line = ["embed", run, genome, "--window", "1000", "--overlap", "950", "--out", out, "--device", "cpu"]
        done = subprocess.run([sys.executable, "-c", PROBE, *line], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert np.load(out, mmap_mode="r").shape == (windows, 8)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 6, peaks
