"""Tests of population variants: equality with a loop, allele frequencies by counting, and VCFs that do not fit."""

import logging

import pytest
import torch
from findna_kit_variation import Indel, PopulationVariants
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from variation_views import Scripted, assert_rows_stand_alone, assert_true_to, draw, few_examples, view_of

from findna_kit import alphabet
from findna_kit.components import Contig, View
from findna_kit.errors import FindnaError, GenomeError

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
NUMBERS = torch.Generator().manual_seed(3)
GENOME = {name: "".join("ACGTN"[i] for i in torch.randint(0, 5, (60,), generator=NUMBERS)) for name in ("one", "two", "three")}
CONTIGS = [Contig(name, len(text)) for name, text in GENOME.items()]
TURNED = str.maketrans("ACGT", "TGCA")


def vcf(folder, *lines):
    path = folder / "some.vcf"
    path.write_text(HEAD + "".join(f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t{info}\n" for c, p, r, a, info in lines))
    return path


def made(path, contigs=CONTIGS):
    component = PopulationVariants(PopulationVariants.Config(vcf=str(path)))
    component.on_genome(contigs)
    return component


def windows(count, length, seed):
    """Of the genome, each in its place, some turned round and with indels."""
    numbers = torch.Generator().manual_seed(seed)
    contig = torch.randint(0, 3, (count,), generator=numbers)
    start = torch.randint(0, 60 - length + 1, (count,), generator=numbers)
    texts = [list(GENOME.values())[c][s : s + length] for c, s in zip(contig.tolist(), start.tolist(), strict=True)]
    view = view_of(*texts, contig=contig, start=start)
    turned = torch.rand(count, 1, generator=numbers) < 0.5
    at = torch.arange(length).expand(count, length)
    view = view.gather((length - 1 - at).where(turned, at), flipped=turned.expand(count, length))
    return Indel(Indel.Config(rate=0.03))(view, draw("indel", seed, rows=count))


FREQUENCIES = {"A": 0.1, "C": 0.3, "G": 0.2, "T": 0.4}


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """Two alternative alleles at every third base of two contigs, and one REF that is wrong."""
    lines, wrong = [], 0
    for name in ("one", "three"):
        for at in range(0, 60, 3):
            reference = GENOME[name][at]
            others = [base for base in "ACGT" if base != reference][:2]
            if reference == "N":
                reference = "T"
            elif not wrong:
                reference, wrong = next(base for base in "ACGT" if base != reference and base not in others), 1
            stated = ",".join(str(FREQUENCIES[base]) for base in others)
            lines.append((name, at + 1, reference, ",".join(others), f"AF={stated}"))
    return vcf(tmp_path_factory.mktemp("everywhere"), *lines), {(name, at - 1): (r, a) for name, at, r, a, _ in lines}


def varied(view, row, numbers, alleles):
    """One sequence, base by base."""
    name, result = list(GENOME)[int(view.contig[row])], []
    for place, (token, origin, strand) in enumerate(
        zip(view.tokens[row].tolist(), view.origin[row].tolist(), view.strand[row].tolist(), strict=True)
    ):
        letter = "ACGTN"[token]
        reference, alternatives = alleles.get((name, int(view.start[row]) + origin), (None, ""))
        forward = letter.translate(TURNED) if strand < 0 else letter
        if origin >= 0 and forward == reference:
            reached = 0.0
            for base in sorted(alternatives.split(",")):
                reached += FREQUENCIES[base]
                if numbers[place] < reached:
                    letter = base.translate(TURNED) if strand < 0 else base
                    break
        result.append(letter)
    return "".join(result)


@few_examples
@given(st.integers(1, 40), st.integers(0, 1000))
def test_it_is_a_loop_over_bases_with_the_same_draws(everywhere, length, seed):
    path, alleles = everywhere
    view = windows(6, length, seed)
    numbers = (torch.randint(0, 64, (6, length), generator=torch.Generator().manual_seed(seed)) + 0.4637) / 64
    changed = made(path)(view, Scripted(numbers))
    for row in range(6):
        letters = "".join("ACGTN"[token] for token in changed.tokens[row].tolist())
        assert letters == varied(view, row, numbers[row].tolist(), alleles)


@few_examples
@given(st.integers(3, 40), st.integers(0, 1000))
def test_it_keeps_what_a_view_promises(everywhere, length, seed):
    component, view = made(everywhere[0]), windows(5, length, seed)
    changed = component(view, draw(seed, rows=5))
    assert changed.origin is view.origin
    assert changed.strand is view.strand
    assert (changed.tokens == alphabet.N).equal(view.tokens == alphabet.N)
    plain = view_of(*[GENOME["one"][:length]] * 4)
    assert_true_to(component(plain, draw(seed, rows=4)), plain, exchanged=True)
    assert_rows_stand_alone(component, view, seed)


def test_alleles_come_as_often_as_stated_on_either_strand(tmp_path):
    """A place with two alternatives on both strands; the neighbour's alleles do not depend on it."""
    component = made(vcf(tmp_path, ("c", 102, "C", "A,T", "AF=0.2,0.3"), ("c", 103, "G", "T", "AC=1;AN=4")), [Contig("c", 200)])
    rows = 8000
    view = view_of(*["ACGT"] * rows, start=torch.full((rows,), 100))
    turned = view.gather(3 - torch.arange(4).expand(rows, 4), flipped=torch.ones(rows, 4, dtype=torch.bool))
    for one, places in ((view, (1, 2)), (turned, (2, 1))):
        tokens = component(one, draw("often", rows=rows)).tokens
        tokens = 3 - tokens if one is turned else tokens
        first, second = (tokens[:, place] for place in places)
        observed = torch.bincount(first, minlength=4)[[alphabet.A, alphabet.C, alphabet.T]].tolist()
        assert stats.chisquare(observed, [rows * chance for chance in (0.2, 0.5, 0.3)]).pvalue > 1e-3
        assert stats.binomtest(int((second == alphabet.T).sum()), rows, 0.25).pvalue > 1e-3
        table = [
            [int(((first == a) & (second == b)).sum()) for b in (alphabet.G, alphabet.T)]
            for a in (alphabet.A, alphabet.C, alphabet.T)
        ]
        assert stats.chi2_contingency(table).pvalue > 1e-3
        assert (tokens[:, [0, 3]].sort(1).values == torch.tensor([alphabet.A, alphabet.T])).all()


def test_frequencies_of_one_and_of_nothing(tmp_path):
    component = made(vcf(tmp_path, ("c", 1, "A", "G", "AF=1"), ("c", 2, "A", "G", "AF=0")), [Contig("c", 9)])
    assert component(view_of(*["AA"] * 500), draw("one", rows=500)).tokens.unique(dim=0).tolist() == [[alphabet.G, alphabet.A]]


def test_contigs_of_several_genomes_are_counted_on(tmp_path):
    """A window at the end of a contig meets none of the next one's variants."""
    contigs = [Contig("a", 4), Contig("b", 4)]
    component = made(vcf(tmp_path, ("b", 1, "A", "G", "AF=1")), contigs)
    view = view_of("AAAA", "AAAA", contig=torch.tensor([0, 1]), start=torch.tensor([0, 0]))
    assert component(view, draw("counted", rows=2)).tokens.tolist() == [[0] * 4, [2, 0, 0, 0]]
    beyond = View.of_windows(torch.zeros(1, 6, dtype=torch.int64), valid=torch.arange(6)[None] < 4)
    assert component(beyond, draw("padding", rows=1)).tokens.tolist() == [[0, 0, 0, 0, 4, 4]]


def test_the_file_is_read_when_it_is_used(tmp_path):
    component = made(tmp_path / "gone.vcf")
    with pytest.raises(FindnaError, match=r"gone\.vcf: cannot be read: No such file or directory"):
        component(view_of("ACGT"), draw("gone", rows=1))


def test_without_contigs_it_says_what_it_lacks(tmp_path):
    component = PopulationVariants(PopulationVariants.Config(vcf=str(vcf(tmp_path))))
    with pytest.raises(FindnaError, match="`on_genome` was not called"):
        component(view_of("ACGT"), draw("untold", rows=1))


def test_what_is_left_out_is_said_once(tmp_path, caplog):
    lines = [("one", 1, "A", "C", "AF=0.5"), ("one", 2, "A", "AC", "AF=0.5"), ("one", 99, "A", "C", "AF=0.5"),
             ("four", 3, "A", "C", "AF=0.5"), ("one", 4, "A", "C", ".")]  # fmt: skip
    component = made(vcf(tmp_path, *lines))
    with caplog.at_level(logging.WARNING):
        for step in range(2):
            component(view_of("ACGT"), draw(step, rows=1))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "1 SNPs used; alleles skipped: 1 beyond the end of their contig, 1 not a SNP" in said[0]
    assert "1 on contigs missing in the genome, 1 without AF, or AC and AN" in said[0]
    assert said[1].endswith("the genome has no contig 'four'")


@pytest.mark.parametrize(("contigs", "hint"), [(["chr1", "chr2"], "; did you mean 'chr1'[?]"), (["1_random"], "")])
def test_other_names_of_contigs_are_refused_and_not_guessed(tmp_path, contigs, hint):
    component = made(vcf(tmp_path, ("1", 5, "A", "C", "AF=0.5")), [Contig(name, 9) for name in contigs])
    with pytest.raises(GenomeError, match=f"the genome has no contig '1'{hint}; use a VCF with the genome's contig names"):
        component(view_of("ACGT"), draw("names", rows=1))


def test_a_contig_of_two_genomes_is_refused(tmp_path):
    component = made(vcf(tmp_path, ("c", 5, "A", "C", "AF=0.5")), [Contig("c", 9), Contig("c", 9)])
    with pytest.raises(GenomeError, match="two genomes have a contig 'c'; rename it in one of them"):
        component(view_of("ACGT"), draw("twice", rows=1))


def test_a_vcf_without_a_usable_variant_is_refused(tmp_path):
    component = made(vcf(tmp_path, ("one", 5, "A", "C", "DP=3"), ("one", 6, "A", "AC", "AF=0.5")))
    with pytest.raises(FindnaError, match=r"no SNP with a frequency on this genome \(1 not a SNP, 1 without AF"):
        component(view_of("ACGT"), draw("none", rows=1))


def other_assembly(folder, differing):
    """REF of this many of 30 bases is another."""
    return vcf(folder, *[("c", at + 1, "C" if at < differing else "A", "G", "AF=0.5") for at in range(30)])


def test_another_assembly_is_refused_and_a_few_differences_are_not(tmp_path):
    contigs, view = [Contig("c", 30)], view_of("A" * 30)
    with pytest.raises(GenomeError, match="at 16 of the first 30 SNPs: the variants were called on another assembly") as caught:
        made(other_assembly(tmp_path, 16), contigs)(view, draw("wrong", rows=1))
    assert caught.value.exit_code == 2
    changed = made(other_assembly(tmp_path, 14), contigs)(view, draw("right", rows=1))
    assert changed.tokens[0, :14].eq(alphabet.A).all(), "where REF differs nothing is exchanged"


def test_it_waits_for_enough_variants_before_it_doubts(tmp_path):
    """The same SNP in many windows is one."""
    component = made(other_assembly(tmp_path, 30), [Contig("c", 30)])
    for step, bases in enumerate((8, 8, 19)):
        component(view_of(*["A" * bases + "N" * (30 - bases)] * 9), draw(step, rows=9))
    with pytest.raises(GenomeError, match="at 20 of the first 20 SNPs"):
        component(view_of("A" * 20), draw(3, rows=1))


def test_once_it_fits_it_is_no_longer_looked_at(tmp_path):
    lines = [("c", at + 1, "A" if at < 1100 else "C", "G", "AF=0.5") for at in range(2500)]
    component = made(vcf(tmp_path, *lines), [Contig("c", 2500)])
    component(view_of("A" * 1050), draw(0, rows=1))
    later = component(view_of("A" * 1400, start=torch.tensor([1100])), draw(1, rows=1))
    assert (later.tokens == alphabet.A).all(), "where REF differs nothing is exchanged"
