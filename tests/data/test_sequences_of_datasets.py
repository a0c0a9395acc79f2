"""Datasets of the library `datasets`, by the interface that the kit reads of them."""

import pytest

from findna_kit.data.sequences import as_sequences
from findna_kit.errors import FindnaError


class Dataset(dict):
    """The interface of datasets.Dataset that the kit uses."""

    @property
    def column_names(self):
        return list(self)


class DatasetDict(dict):
    """Several datasets by split; its column_names are a dict."""

    @property
    def column_names(self):
        return {split: dataset.column_names for split, dataset in self.items()}


def test_the_column_of_a_dataset():
    assert as_sequences(Dataset(label=[1, 2], sequence=["ACGT", "GG"])) == ["ACGT", "GG"]


def test_a_split_of_a_dataset_must_be_chosen():
    several = DatasetDict(train=Dataset(seq=["ACGT"]), test=Dataset(seq=["AC"]))
    with pytest.raises(FindnaError, match=r"this dataset has the splits train, test: pass one of them"):
        as_sequences(several)


def test_several_possible_columns_are_ambiguous():
    with pytest.raises(FindnaError, match="the Dataset: the columns seq, dna are ambiguous: choose one"):
        as_sequences(Dataset(seq=["ACGT"], dna=["AC"]))
