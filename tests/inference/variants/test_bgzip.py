"""Blocked gzip: gunzip gives back what was written, and a missing last block is seen."""

import gzip
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna_kit.inference.variants.bgzip import BlockGzip, is_truncated


def packed(path, pieces):
    with path.open("wb") as file:
        blocks = BlockGzip(file)
        for piece in pieces:
            blocks.write(piece)
        blocks.finish()
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200) | st.builds(bytes, st.integers(0, 200_000)), max_size=5))
def test_gunzip_gives_back_what_was_written(tmp_path, pieces):
    path = packed(tmp_path / "file.gz", pieces)
    whole = path.read_bytes()
    assert gzip.decompress(whole) == b"".join(pieces)
    assert not is_truncated(path)
    path.write_bytes(whole[:-28])
    assert is_truncated(path) == bool(b"".join(pieces)), "of nothing there is no first block either"


def test_bytes_that_cannot_be_packed_still_make_blocks(tmp_path):
    noise = random.Random(0).randbytes(150_000)
    assert gzip.decompress(packed(tmp_path / "noise.gz", [noise]).read_bytes()) == noise
