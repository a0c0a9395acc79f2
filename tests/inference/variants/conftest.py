"""One small run for all of these tests, and what is asked of it."""

import pytest

import findna_kit
from findna_kit.data.genome import open_store
from findna_kit.inference.variants import VariantRequest, score_variants
from tests.variants import GENOME, HEAD, ONE, fasta, made, table, turned


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run", "self_distill")


@pytest.fixture(scope="session")
def model(run):
    return findna_kit.load(run, device="cpu")


@pytest.fixture
def score(run, tmp_path):
    """Scores rows of a VCF in a folder of the test's own; gives the table's rows as dictionaries."""

    def score(rows, *, genome=GENOME, of=run, name="scores.tsv", overwrite=True, log=lambda sentence: None, **asked):
        (tmp_path / "in.vcf").write_text(HEAD + "".join(rows))
        wanted = {"genome": str(fasta(tmp_path / "genome.fa", genome)), "device": "cpu", **asked}
        score.told = score_variants(
            of, tmp_path / "in.vcf", tmp_path / name, VariantRequest(**wanted), overwrite=overwrite, log=log
        )
        return table((tmp_path / name).read_text()) if name.endswith(".tsv") else None

    return score


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return open_store(fasta(tmp_path_factory.mktemp("genome") / "genome.fa", {"there": ONE, "back": turned(ONE)}))
