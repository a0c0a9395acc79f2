"""Tests of every recipe of the plugin for two steps through the command line. The plugin must be installed."""

import gzip
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import findna_kit_variation
import pytest
from findna_kit_variation.snps import read_snps

import findna_kit
from findna_kit import alphabet
from findna_kit.cli import main
from findna_kit.data.genome import builtin_genome, open_store

RECIPES = Path(findna_kit_variation.__file__).parent / "recipes"
SMALL = (
    "steps=2", "data.batch_size=4", "class_tokens=2", "encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 1}",
    "trainer.validation_windows=8", "trainer.micro_batch=4", "trainer.precision=fp32", "trainer.log_every=1",
    "evaluation.tasks=[]",
)  # fmt: skip
HEAD = ("losses.distill.hidden=32", "losses.distill.bottleneck=16", "losses.distill.prototypes=24")
OWN = {
    "mutations": HEAD, "neighbours": ("data.length=90", "views.masked.length=32", "views.shifted.length=32",
                                      "losses.contrast.hidden=32",
                                      "views.masked.augment=[{name: neighbour, side: left, maximum: 20}]",
                                      "views.shifted.augment=[{name: neighbour, side: right, maximum: 20}]"),
    "repeats": (), "codons": (), "population": HEAD,
}  # fmt: skip
KINDS = {
    "mutations": ("augmentation", {"indel", "tandem_repeat"}),
    "neighbours": ("augmentation", set()),
    "repeats": ("masking", {"repeat_aware"}),
    "codons": ("masking", {"codon"}),
    "population": ("augmentation", {"population_variants"}),
}
VCF_HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINDNA_KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def findna(*arguments):
    """A command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    return left.value.code or 0, out.getvalue(), err.getvalue()


def sets(*overrides):
    return [word for one in overrides for word in ("--set", one)]


def run(name, out, *overrides):
    length = () if name == "neighbours" else ("data.length=64",)
    return findna("run", f"variation:{name}", "--out", out, *sets(*SMALL, *length, *OWN[name], *overrides))


def test_the_recipes_are_those_that_are_tried_here():
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(OWN) == set(KINDS)


@pytest.mark.parametrize("name", OWN)
def test_runs(name, tmp_path):
    code, _, stderr = run(name, tmp_path / "run")
    assert code == 0, stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    kind, used = KINDS[name]
    ours = {one for one, owner in record["components"].get(kind, {}).items() if owner == "findna-kit-variation 0.1.0"}
    assert ours == used
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [value for row in rows for key, value in row.items() if key.endswith("/loss")]
    assert losses
    assert all(0 < loss < 20 for loss in losses)


@pytest.mark.parametrize("name", OWN)
def test_as_shipped_it_is_checked(name):
    code, _, stderr = findna("check", f"variation:{name}")
    assert code == 0, stderr


def genome():
    """The built-in genome's name and letters."""
    store = open_store(builtin_genome())
    return store.contigs[0].name, alphabet.decode(store.tokens(0, 0, store.contigs[0].length))


def own_vcf(path, name, text, *, apart, shift=0):
    """A SNP every so many bases of the genome, half of the alleles the other one; `shift`: as of another assembly."""
    lines = (f"{name}\t{at + 1}\t.\t{text[at + shift]}\t{'A' if text[at + shift] != 'A' else 'C'}\t.\t.\tAF=0.5\n"
             for at in range(0, len(text) - shift, apart) if text[at + shift] != "N")  # fmt: skip
    path.write_bytes(gzip.compress((VCF_HEAD + "".join(lines)).encode(), 1))
    return f"views.shifted.augment=[{{name: population_variants, vcf: {path}}}]"


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    """A run over variants of the built-in genome, written here; its VCF gone since."""
    folder = tmp_path_factory.mktemp("population")
    stated = own_vcf(folder / "own.vcf.gz", *genome(), apart=200)
    code, _, stderr = run("population", folder / "run", stated)
    assert code == 0, stderr
    (folder / "own.vcf.gz").unlink()
    return folder


def test_a_vcf_of_ones_own_is_given_by_set_and_saved_absolute(population):
    assert f"vcf: {population / 'own.vcf.gz'}" in (population / "run" / "recipe.yaml").read_text()


def test_a_finished_run_is_loaded_without_its_vcf(population):
    assert findna_kit.load(population / "run", device="cpu").embed(["ACGTN"]).shape == (1, 22)


def test_a_vcf_of_another_assembly_stops_the_run_with_a_sentence(tmp_path):
    stated = own_vcf(tmp_path / "own.vcf.gz", *genome(), apart=20, shift=3)
    code, _, stderr = run("population", tmp_path / "run", stated)
    assert code == 2
    assert "SNPs: the variants were called on another assembly; use a VCF of this genome" in stderr
    assert "Traceback" not in stderr


def test_contigs_by_other_names_stop_the_run_with_a_sentence(tmp_path):
    name, _ = genome()
    (tmp_path / "own.vcf").write_text(VCF_HEAD + f"chr{name}\t5\t.\tA\tC\t.\t.\tAF=0.5\n")
    stated = f"views.shifted.augment=[{{name: population_variants, vcf: {tmp_path / 'own.vcf'}}}]"
    code, _, stderr = run("population", tmp_path / "run", stated)
    assert code == 2
    assert f"the genome has no contig 'chr{name}'; did you mean {name!r}?" in stderr


def test_a_vcf_that_is_not_there_is_found_by_check(tmp_path):
    missing = tmp_path / "none.vcf"
    stated = f"views.shifted.augment=[{{name: population_variants, vcf: {missing}}}]"
    code, _, stderr = findna("check", "variation:population", *sets(stated))
    assert code == 2
    assert str(missing) in stderr


def test_a_window_without_room_for_neighbours_stops_the_run_with_a_sentence(tmp_path):
    code, _, stderr = run("neighbours", tmp_path / "run", "data.length=80")
    assert code == 2
    assert (
        "two crops of 32 bases with up to 20 between them do not fit into a window of 80; set data.length to at least 84"
        in stderr
    )


def test_the_simulated_variants_are_the_built_in_genomes():
    name, text = genome()
    snps, skipped = read_snps(RECIPES / "simulated.vcf.gz")
    assert not skipped
    assert list(snps) == [name]
    assert "".join("ACGT"[base] for base in snps[name].reference) == "".join(text[at] for at in snps[name].position)
    assert len(snps[name].position) == 2000
