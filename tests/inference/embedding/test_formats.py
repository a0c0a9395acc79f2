"""Every format holds the same rows, is read by others' readers, is made in bounded memory and replaces nothing unasked."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from pyarrow import parquet

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.embedding import formats, partial_output

SUFFIXES = [".npy", ".parquet", ".zarr"]
COLUMNS = ["id", "start", "note"]
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(20, 3)).astype(np.float32)
IDS = [(f"row {number}", str(number * 7), '"\t\r\n,é' if number % 3 else "") for number in range(20)]


def told(count=20):
    return {"weights": "abc", "rows": count, "dim": 3, "columns": COLUMNS, "input": {"digest": "d"}, "strand": "both"}


def write(out, embeddings=EMBEDDINGS, *, resume=False, overwrite=False):
    with partial_output.acquire(out, told(len(embeddings)), resume=resume, overwrite=overwrite) as rows:
        if rows.rows == 0:
            rows.append(IDS[: len(embeddings)], embeddings)
        formats.finish(rows, out, formats.format_of(out, formats.FORMATS), frozenset({"start"}))
    return out


def read_by_others(out):
    """Embeddings, the columns, and what is told of them, without a line of the kit."""
    if out.suffix == ".npy":
        return np.load(out), None, json.loads(Path(f"{out}.json").read_text())
    if out.suffix == ".parquet":
        table = parquet.read_table(out)
        vectors = table["embedding"].combine_chunks()
        columns = {name: table[name].to_pylist() for name in COLUMNS}
        return vectors.flatten().to_numpy().reshape(len(vectors), -1), columns, json.loads(table.schema.metadata[b"findna_kit"])
    group = zarr.open_group(out, mode="r")
    return group["embeddings"][:], {name: group[name][:].tolist() for name in COLUMNS}, group.attrs["findna_kit"]


@pytest.fixture(params=SUFFIXES)
def out(request, tmp_path):
    return tmp_path / f"out{request.param}"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(formats, "_ROWS", 7)


@pytest.mark.usefixtures("small_blocks")
def test_others_read_what_is_written(out):
    embeddings, columns, description = read_by_others(write(out))
    assert embeddings.dtype == np.float32
    assert np.array_equal(embeddings, EMBEDDINGS)
    assert description == told() == json.loads(formats.description_path(out).read_text())
    if columns is not None:
        assert columns == {
            "id": [row[0] for row in IDS], "start": [7 * number for number in range(20)], "note": [row[2] for row in IDS]
        }  # fmt: skip
    else:
        plain = [line.split("\t") for line in formats.ids_path(out).read_text().splitlines()[:2]]
        assert plain == [COLUMNS, ["row 0", "0", ""]]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("rows", [range(20), [0], [6, 7, 19], range(1, 20, 3)], ids=str)
def test_rows_are_read_back(out, rows):
    write(out)
    embeddings, ids = formats.format_of(out, formats.FORMATS).read(out, COLUMNS, np.array(rows))
    assert np.array_equal(embeddings, EMBEDDINGS[list(rows)])
    assert ids == [IDS[row] for row in rows]


def test_an_output_is_replaced_whole(out):
    write(out)
    partial_output.remove(out)
    write(out, EMBEDDINGS[:5] + 1, overwrite=True)
    assert np.array_equal(read_by_others(out)[0], EMBEDDINGS[:5] + 1)
    assert formats.read_description(out)["rows"] == 5


@pytest.mark.parametrize("stage", ["made", "beside", "half renamed", "renamed"])
def test_a_kill_while_it_is_finished_is_gone_on_with(out, stage, tmp_path):
    """The folder as a kill leaves it: before anything is renamed, with only what lies beside in its place, and afterwards."""
    write(out)
    wanted, folder = read_by_others(out)[0], partial_output.partial_folder(out)
    if out.suffix == ".npy" and stage != "renamed":
        out.rename(folder / partial_output.EMBEDDINGS)
    elif stage != "renamed":
        out.rename(folder / ("old" if stage == "half renamed" else f"made{out.suffix}"))
    if stage == "made":
        for path in (formats.description_path(out), formats.ids_path(out)):
            path.unlink(missing_ok=True)
    formats.refuse_existing(out, replace=True)
    if partial_output.read_state(out) is not None:
        write(out, resume=True)
    assert np.array_equal(read_by_others(out)[0], wanted)
    assert formats.read_description(out) == told()


def test_a_part_that_cannot_be_made_leaves_the_old_output(out, monkeypatch):
    write(out)
    partial_output.remove(out)
    before = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats.FORMATS, out.suffix, formats.EmbeddingFormat(None, full, formats.FORMATS[out.suffix].read))
    with pytest.raises(OSError, match="No space left"):
        write(out, EMBEDDINGS + 1, overwrite=True)
    folder = partial_output.partial_folder(out)
    after = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file() and folder not in path.parents}
    assert after == before


def test_what_is_there_is_not_replaced_unasked(out):
    write(out)
    with pytest.raises(OutputExists, match=f"{out.name}: already exists; use another --out, or --overwrite"):
        formats.refuse_existing(out, replace=False)
    formats.refuse_existing(out, replace=True)


def test_what_lies_beside_is_not_replaced_unasked(tmp_path):
    for name in ("out.npy.json", "out.npy.ids.tsv"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExists, match=f"{name}: already exists"):
            formats.refuse_existing(tmp_path / "out.npy", replace=False)
        (tmp_path / name).unlink()
    formats.refuse_existing(tmp_path / "out.npy", replace=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_of_something_else_is_never_replaced(tmp_path, suffix):
    (tmp_path / f"out{suffix}").mkdir()
    with pytest.raises(OutputExists, match="is a folder that this command did not write; use another --out"):
        formats.refuse_existing(tmp_path / f"out{suffix}", replace=True)


def test_a_file_is_no_zarr(tmp_path):
    (tmp_path / "out.zarr").write_text("a file")
    with pytest.raises(OutputExists, match=r"is a file, but a \.zarr output is a folder"):
        formats.refuse_existing(tmp_path / "out.zarr", replace=True)


@pytest.mark.parametrize("text", ["not JSON", "[1, 2]", '{"rows": 3}', "\ud800"])
def test_somebody_elses_json_tells_nothing(tmp_path, text):
    (tmp_path / "out.npy").write_bytes(b"")
    (tmp_path / "out.npy.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert formats.read_description(tmp_path / "out.npy") is None


@pytest.mark.parametrize("name", ["out.csv", "out", "out.npz", "out.NPY"])
def test_another_suffix_is_refused(name):
    with pytest.raises(FindnaError, match=r"the suffix must be one of \.npy, \.parquet, \.zarr"):
        formats.format_of(Path(name), formats.FORMATS)


@pytest.mark.parametrize(("module", "extra"), [("pyarrow", "parquet"), ("zarr", "zarr")])
def test_a_missing_package_is_named_with_its_extra(module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # what Python takes for a package that is not there
    with pytest.raises(FindnaError, match=rf"--out out\.{extra} needs {module}, .*: pip install 'findna-kit\[{extra}\]'"):
        formats.format_of(Path(f"out.{extra}"), formats.FORMATS)
    formats.format_of(Path("out.npy"), formats.FORMATS)


@pytest.mark.parametrize(("name", "column"), [
    ("out.parquet", "embedding"), ("out.zarr", "embeddings"), ("out.zarr", "a/b"), ("out.zarr", ".x"), ("out.zarr", "__x"),
    ("out.zarr", "zarr.json"),
])  # fmt: skip
def test_a_column_that_a_format_cannot_have_is_refused(name, column):
    with pytest.raises(FindnaError, match=rf"the column '{column}' has a name that {Path(name).suffix} does not allow"):
        formats.check_columns(Path(name), ("id", column))
    formats.check_columns(Path("out.npy"), ("id", column))


PROBE = """
import sys
from pathlib import Path
import numpy as np
from findna_kit.inference.embedding import formats
from findna_kit.inference.embedding import partial_output

def peak():
    # Not getrusage: its peak is inherited from the process that started this one.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

def write(out, blocks):
    description = {"weights": "", "rows": 4096 * blocks, "dim": 256, "columns": ["id"], "input": {}}
    with partial_output.acquire(out, description, resume=False, overwrite=False) as rows:
        for number in range(blocks):
            rows.append([(str(row),) for row in range(4096)], np.full((4096, 256), number, dtype=np.float32))
        formats.finish(rows, out, formats.format_of(out, formats.FORMATS), frozenset())

folder, suffix = Path(sys.argv[1]), sys.argv[2]
write(folder / f"small{suffix}", 4)
before = peak()
write(folder / f"large{suffix}", 36)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc, which is not here")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_rows(tmp_path, suffix):
    """128 MiB more of embeddings: a format that held them all, or a quarter of them, would show."""
    done = subprocess.run([sys.executable, "-c", PROBE, tmp_path, suffix], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 32
