"""Python objects that are read as a list of sequences."""

import pytest

from findna_kit.data.sequences import as_sequences
from findna_kit.errors import FindnaError

pandas = pytest.importorskip("pandas", reason="the extra pandas is not installed")


def test_a_frame_a_series_and_a_column():
    frame = pandas.DataFrame({"gene": ["a", "b"], "DNA": ["ACGT", "gg-u"], "y": [0.5, 1]}, index=[7, 3])
    for data in (frame, frame["DNA"], frame["DNA"].to_numpy(), frame["DNA"].tolist()):
        assert as_sequences(data) == ["ACGT", "gg-u"]


def test_a_frame_without_the_column_names_those_it_has():
    frame = pandas.DataFrame({"gene": ["a"], "promoter": ["ACGT"]})
    with pytest.raises(
        FindnaError, match="the DataFrame: no column is called sequence, seq or dna; the columns are gene, promoter"
    ):
        as_sequences(frame)
    with pytest.raises(FindnaError, match="sequence 0 is missing"):
        as_sequences(pandas.DataFrame({"seq": [None]}))
    with pytest.raises(FindnaError, match="there are no sequences"):
        as_sequences(pandas.DataFrame({"seq": []}))
