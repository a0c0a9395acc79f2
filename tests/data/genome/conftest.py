from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from findna_kit import alphabet
from findna_kit.data.genome import StoredContig, TokenStore, open_store

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(folder))
    return folder


@pytest.fixture
def write(tmp_path):
    def write(content, name="genome.fa"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def make(write):
    """A store of {name: sequence}, through a FASTA with lines of 60."""

    def make(records, name="genome.fa"):
        lines = [f">{key}\n" + "".join(f"{s[i : i + 60]}\n" for i in range(0, len(s), 60)) for key, s in records.items()]
        return open_store(write("".join(lines), name))

    return make


@pytest.fixture
def shared():
    def shared(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not here: the shared data come with the workplace, not with the repository")
        return path

    return shared


def mapped(folder, sequences):
    """A store made by hand, for tests that need hundreds."""
    codes = [alphabet.encode(s) | alphabet.is_soft_masked(s) * np.uint8(8) for s in sequences]
    path = Path(folder) / "map"
    np.concatenate(codes).tofile(path)
    lengths = [len(s) for s in sequences]
    offsets = np.cumsum([0, *lengths])[:-1].tolist()
    contigs = tuple(StoredContig(f"c{i}", n, at) for i, (n, at) in enumerate(zip(lengths, offsets, strict=True)))
    return TokenStore("digest", Path("genome.fa"), path, contigs, {})


def random_dna(count, seed=0, letters="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(letters), count))


def bgzip(text):
    """Blocks as bgzip writes them: each says its size in a field called BC, and an empty one is the last."""
    blocks = []
    for at in range(0, len(text), 65_280):
        packed = zlib.compress(text[at : at + 65_280], wbits=-15)
        header = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(packed) + 25)
        blocks.append(header + packed + struct.pack("<II", zlib.crc32(text[at : at + 65_280]), len(text[at : at + 65_280])))
    return [*blocks, bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")]
