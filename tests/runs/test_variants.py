"""Zero-shot scores of variants: the model's numbers by hand, and every line of a VCF accounted for."""

import gzip
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import findna_kit
from findna_kit import dna
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.frozen import FrozenModel
from findna_kit.genome import open_store
from findna_kit.runs import Place, start
from findna_kit.runs.variants import STATUSES, Asked, score_variants
from findna_kit.runs.variants.alleles import Allele, Judge, _trimmed
from findna_kit.runs.variants.bgzip import BlockGzip, is_truncated
from findna_kit.runs.variants.scores import window
from findna_kit.runs.variants.vcf import read_vcf
from findna_kit.views import View
from tests.building import SHARED, small

RNG = np.random.default_rng(11)
HEAD = "##fileformat=VCFv4.2\n##source=a caller\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
ONE = "".join(RNG.choice(list("ACGT"), 300))
ONE = ONE[:150] + "NNN" + ONE[153:200] + ONE[200:220].lower() + ONE[220:]
GENOME = {"one": ONE, "short": "ACGTTGCAACGT"}


def other(base, by=1):
    return "ACGT"["ACGT".index(base.upper()) - by]


def turned(text):
    return text[::-1].translate(str.maketrans("ACGTNacgt", "TGCANtgca"))


def at(position, length=1):
    """The bases of contig `one` at a POS."""
    return ONE[position - 1 : position - 1 + length]


def row(contig, position, reference, alternative, name="."):
    return f"{contig}\t{position}\t{name}\t{reference}\t{alternative}\t.\tPASS\t.\n"


def fasta(path, records):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    return path


def made(folder, name, *overrides):
    recipe, components, plugins = small(name, "steps=3", "optimizer.learning_rate=0.01", *overrides)
    start(recipe, Place(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run", "self_distill")


@pytest.fixture(scope="module")
def model(run):
    return findna_kit.load(run, device="cpu")


@pytest.fixture
def score(run, tmp_path):
    """Scores rows of a VCF in a folder of the test's own; gives the table's rows as dictionaries."""

    def score(rows, *, genome=GENOME, of=run, name="scores.tsv", overwrite=True, say=lambda sentence: None, **asked):
        (tmp_path / "in.vcf").write_text(HEAD + "".join(rows))
        wanted = {"genome": str(fasta(tmp_path / "genome.fa", genome)), "device": "cpu", **asked}
        score.told = score_variants(of, tmp_path / "in.vcf", tmp_path / name, Asked(**wanted), overwrite=overwrite, say=say)
        return table((tmp_path / name).read_text()) if name.endswith(".tsv") else None

    return score


def table(text):
    made_by, names, *rows = text.splitlines()
    assert made_by.startswith("##findna_kit_variants=<ID=scores,")
    return [dict(zip(names.split("\t"), line.split("\t"), strict=True)) for line in rows]


def numbers(rows, *names):
    return np.array([[float(row[name]) for name in names or ("llr", "cosine", "euclidean")] for row in rows])


ODD = [
    (row("one", 100, other(at(100)), "A"), ["ref_mismatch"]),
    (row("one", 1, at(1), other(at(1))), ["scored"]),
    (row("one", 300, at(300), other(at(300))), ["scored"]),
    (row("one", 301, "A", "C"), ["beyond_contig"]),
    (row("one", 0, "A", "C"), ["beyond_contig"]),
    (row("one", 299, at(299, 2) + "A", at(299)), ["beyond_contig"]),
    (row("one", 50, at(50, 3), at(50)), ["distance_only"]),
    (row("one", 50, at(50), at(50) + "ACGT"), ["distance_only"]),
    (row("one", 50, at(50, 2), other(at(50)) + other(at(51))), ["distance_only"]),
    (row("one", 50, at(50, 2), other(at(50)) + at(51)), ["scored"]),
    (row("one", 60, at(60), f"{other(at(60))},{other(at(60), 2)},{at(60)}G,<DEL>,*"),
     ["scored", "scored", "distance_only", "symbolic_allele", "symbolic_allele"]),
    (row("one", 151, "N", "A"), ["unknown_base"]),
    (row("one", 151, "A", "C"), ["unknown_base"]),
    (row("one", 150, at(150) + "A", at(150)), ["unknown_base"]),
    (row("one", 70, at(70), "N"), ["unknown_base"]),
    (row("one", 70, "R", "A"), ["unknown_base"]),
    (row("one", 154, at(154), other(at(154))), ["scored"]),
    (row("chrTwo", 5, "A", "C"), ["contig_absent"]),
    (row("one", 205, at(205), other(at(205))), ["scored"]),
    (row("one", 205, at(205).upper(), other(at(205)).lower()), ["scored"]),
    (row("one", 80, at(80), f"{at(80)}[one:9["), ["symbolic_allele"]),
    (row("one", 80, at(80), f".{at(80)}"), ["symbolic_allele"]),
    (row("one", 80, at(80), "."), ["no_alternative"]),
    (row("one", 80, at(80), at(80).lower()), ["same_as_ref"]),
    (row("one", 10, at(10, 34), at(10)), ["too_long"]),
    (row("one", 10, at(10), at(10) + "A" * 33), ["too_long"]),
    (row("short", 5, "T", "A"), ["scored"]),
]  # fmt: skip


def test_every_allele_is_scored_or_says_why_not(score):
    said = []
    found = score([text for text, _ in ODD], on_mismatch="skip", say=said.append)
    wanted = [status for _, statuses in ODD for status in statuses]
    assert [line["status"] for line in found] == wanted
    assert set(wanted) == set(STATUSES)
    for line in found:
        assert (line["llr"] == ".") == (line["status"] != "scored")
        assert (line["cosine"] == ".") == (line["euclidean"] == ".") == (line["status"] not in ("scored", "distance_only"))
        assert line["euclidean"] == "." or float(line["euclidean"]) > 0
    assert score.told["lines"] == len(ODD)
    assert score.told["alleles"] == len(found)
    assert score.told["statuses"] == {status: wanted.count(status) for status in STATUSES}
    upper = [line for line in found if line["pos"] == "205"]
    assert upper[0]["llr"] == upper[1]["llr"]
    (beside_unknown,) = [line for line in found if line["pos"] == "154"]
    assert beside_unknown["unknown"] == "3"
    assert f"REF is {other(at(100))}, the genome has {at(100)}" in "\n".join(said)
    assert "has no contig 'chrTwo', which 1 lines of" in "\n".join(said)


def test_a_wrong_reference_is_refused_with_the_first_few_and_nothing_is_written(score, tmp_path):
    rows = [row("one", 7, at(7), other(at(7))), *(row("one", at_, other(at(at_)), "A") for at_ in range(20, 27))]
    with pytest.raises(FindnaError) as refused:
        score(rows)
    assert refused.value.exit_code == 2
    told = str(refused.value).splitlines()
    assert told[0].endswith("in 7 of 8 lines")
    assert told[1] == f"  line 5, one:20: REF is {other(at(20))}, the genome has {at(20)}"
    assert told[6] == "  ... and 2 more"
    assert "--on-mismatch skip" in told[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genome.fa", "in.vcf"]


def test_exchanging_the_alleles_turns_the_ratio_and_keeps_the_distance(score):
    """The genome with every alternative in it, asked for the way back."""
    places = [1, 2, 31, 32, 33, 120, 149, 204, 299, 300]
    there = score([row("one", place, at(place), other(at(place))) for place in places])
    for line, place in zip(there, places, strict=True):
        changed = {**GENOME, "one": ONE[: place - 1] + other(at(place)) + ONE[place:]}
        (back,) = score([row("one", place, other(at(place)), at(place))], genome=changed)
        # A batch of its own rounds otherwise; the next test has equal batches.
        np.testing.assert_allclose(float(back["llr"]), -float(line["llr"]), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(numbers([back], "cosine", "euclidean"), numbers([line], "cosine", "euclidean"), rtol=1e-2)


def test_the_ratio_turns_to_the_last_digit(score):
    for place in (1, 120, 300):
        (there,) = score([row("one", place, at(place), other(at(place)))])
        changed = {**GENOME, "one": ONE[: place - 1] + other(at(place)) + ONE[place:]}
        (back,) = score([row("one", place, other(at(place)), at(place))], genome=changed)
        assert float(there["llr"]) == -float(back["llr"]) != 0


def test_the_ratios_of_one_base_are_those_of_its_probabilities(score, model):
    rows = score([row("one", 90, at(90), ",".join(other(at(90), by) for by in (1, 2, 3)))])
    values = [1.0, *np.exp(numbers(rows, "llr")[:, 0])]
    model_share = values / np.sum(values)
    middle = window_of("one", 90)
    forward, backward = by_hand_logs(model, *middle), by_hand_logs(model, turned(middle[0]), middle[1])[::-1]
    both = np.exp((forward + backward) / 2)
    order = ["ACGT".index(base) for base in (at(90), *(other(at(90), by) for by in (1, 2, 3)))]
    np.testing.assert_allclose(model_share, (both / both.sum())[order], rtol=1e-4)


def window_of(contig, position):
    """The run's length is 64: 31 bases on each side of one in the middle."""
    return GENOME[contig][position - 32 : position + 31].upper(), 31


def by_hand_logs(model, text, offset):
    view = View.of_windows(torch.from_numpy(dna.encode(text)[None].astype(np.int64)))
    shown = view.masked_at(torch.tensor([[offset]]), torch.ones(1, 1), torch.tensor([[dna.MASK]]))
    with torch.inference_mode():
        output = model.network(shown, shown.student_tokens, None, wants={"masked"})
        return model.network.heads["masked"]["classifier"](output.embeddings[0, offset]).log_softmax(-1).double().numpy()


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_scores_are_those_computed_by_hand(score, model, strand):
    (found,) = score([row("one", 90, at(90), other(at(90)))], strand=strand)
    reference, offset = window_of("one", 90)
    alternative = reference[:offset] + other(at(90)) + reference[offset + 1 :]
    ways = [lambda text: text, turned] if strand == "both" else [lambda text: text]
    ratios, cosines, lengths = [], [], []
    for way in ways:
        logs = by_hand_logs(model, way(reference), offset)
        alleles = [way(base) for base in (at(90), other(at(90)))]
        ratios.append(logs["ACGT".index(alleles[1])] - logs["ACGT".index(alleles[0])])
        one, two = (model.embed([way(text)])[0].astype(np.float64) for text in (reference, alternative))
        cosines.append(1 - one @ two / np.sqrt((one @ one) * (two @ two)))
        lengths.append(np.sqrt(((one - two) ** 2).sum()))
    wanted = [np.mean(ratios), np.mean(cosines), np.mean(lengths)]
    np.testing.assert_allclose(numbers([found])[0], wanted, rtol=1e-3, atol=1e-9)


def test_an_indels_windows_differ_in_it_alone(score, model):
    (found,) = score([row("one", 90, at(90, 4), at(90))])
    reference, alternative = ONE[60:123], ONE[60:90] + ONE[93:123]
    assert len(reference) == 63
    one, two = model.embed([reference, alternative])
    back_one, back_two = model.embed([turned(reference), turned(alternative)])
    wanted = (np.linalg.norm(one - two) + np.linalg.norm(back_one - back_two)) / 2
    np.testing.assert_allclose(float(found["euclidean"]), wanted, rtol=1e-4)


def test_the_other_strand_of_the_genome_gives_the_same_scores(score):
    snvs = [(place, at(place), other(at(place))) for place in (1, 5, 31, 90, 149, 270, 296, 300)]
    indels = [(90, at(90, 4), at(90)), (2, at(2), at(2) + "GATTACA"), (297, at(297, 3), at(297))]
    there = score([row("one", *one) for one in snvs + indels])
    back = []
    for place, reference, alternative in snvs:
        back.append(row("one", 301 - place, turned(reference), turned(alternative)))
    for place, reference, alternative in indels:
        # The base before an indel is another one on the other strand.
        end, after = place + len(reference), at(place + len(reference))
        back.append(row("one", 301 - end, turned(reference[1:] + after), turned(alternative[1:] + after)))
    here = score(back, genome={**GENOME, "one": turned(ONE)})
    assert [line["status"] for line in here] == [line["status"] for line in there]
    np.testing.assert_allclose(numbers(here, "cosine", "euclidean"), numbers(there, "cosine", "euclidean"), rtol=1e-3)
    np.testing.assert_allclose(numbers(here[:8], "llr"), numbers(there[:8], "llr"), rtol=1e-4, atol=1e-6)


def test_a_window_is_asked_once_for_all_its_alleles(score, monkeypatch):
    asked = {"embed": [], "base_log_probabilities": []}
    for name, calls in asked.items():
        original = getattr(FrozenModel, name)

        def counted(self, sequences, *args, original=original, calls=calls, **kwargs):
            calls.append(len(sequences))
            return original(self, sequences, *args, **kwargs)

        monkeypatch.setattr(FrozenModel, name, counted)
    all_three = ",".join(other(at(90), by) for by in (1, 2, 3))
    rows = [
        row("one", 90, at(90), all_three),
        row("one", 90, at(90), other(at(90))),
        row("one", 89, at(89, 2), at(89) + other(at(90))),
    ]
    found = score(rows)
    assert asked == {"embed": [4, 4], "base_log_probabilities": [1, 1]}
    assert found[0]["llr"] == found[3]["llr"] == found[4]["llr"]


def test_blocks_bound_memory_and_change_no_score(score, monkeypatch, run, tmp_path):
    long = f"\tPASS\tX={'x' * 20_000}"
    rows = [row("one", place, at(place), other(at(place))).replace("\tPASS\t.", long) for place in range(1, 150)] * 3
    whole = score(rows)
    monkeypatch.setattr("findna_kit.runs.variants.stream._MOST_LINES", 8)
    asked = Asked(str(tmp_path / "genome.fa"), device="cpu")
    tracemalloc.start()
    score_variants(run, tmp_path / "in.vcf", tmp_path / "parts.vcf", asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "parts.vcf").stat().st_size > 8 * 2**20 > 4 * peak
    parts = score(rows)
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-2, atol=1e-6)


def test_other_fields_are_kept_and_the_header_tells_what_made_it(score, tmp_path, run):
    body = "one\t90\trs1;rs2\t{}\t{}\t31.5\tq10;s50\tDP=3;FINDNA_LLR=9;DB\tGT:DP\t0|1:3\t./.:\udcff\n".format(
        at(90), f"{other(at(90))},<DEL>"
    )
    head = '##fileformat=VCFv4.2\n##INFO=<ID=FINDNA_LLR,Number=A,Type=Float,Description="old">\n##findna_kit_variants=<ID=scores>\n'
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\r\n"
    (tmp_path / "in.vcf").write_bytes((head + body).encode("utf-8", "surrogateescape"))
    genome = fasta(tmp_path / "genome.fa", GENOME)
    score_variants(run, tmp_path / "in.vcf", tmp_path / "deep" / "out.vcf", Asked(str(genome), device="cpu"))
    written = (tmp_path / "deep" / "out.vcf").read_bytes().decode("utf-8", "surrogateescape").splitlines()
    assert written[0] == "##fileformat=VCFv4.2"
    assert sum(line.startswith("##INFO=<ID=FINDNA_LLR,") for line in written) == 1
    assert "old" not in "".join(written)
    (made_by,) = [line for line in written if line.startswith("##findna_kit_variants=")]
    for part in (
        f'run="{run}"',
        "step=3",
        'branch="teacher"',
        'precision="fp32"',
        "length=64",
        'strand="both"',
        "genome_sha256=",
    ):
        assert part in made_by
    assert written[-2].startswith("#CHROM")
    before, after = body.rstrip("\n").split("\t"), written[-1].split("\t")
    assert [*after[:7], *after[8:]] == [*before[:7], *before[8:]]
    info = dict(part.partition("=")[::2] for part in after[7].split(";"))
    assert list(info)[:2] == ["DP", "DB"]
    assert info["FINDNA_STATUS"] == "scored,symbolic_allele"
    assert info["FINDNA_LLR"].endswith(",.")
    assert info["FINDNA_UNKNOWN"] == "0,."


def test_where_nothing_is_scored_only_the_status_is_written(score, tmp_path):
    said = []
    score([row("one", 80, at(80), ".")], name="out.vcf", say=said.append)
    assert (tmp_path / "out.vcf").read_text().splitlines()[-1].endswith("\tPASS\tFINDNA_STATUS=no_alternative")
    assert "nothing in it can be scored" in said[-1]


@pytest.mark.parametrize("kind", ["gzip", "bgzip", "bcf"])
def test_packed_files_say_the_same(score, tmp_path, kind, run, capfd):
    rows = [row("one", place, at(place), other(at(place))) for place in (3, 90, 205)]
    plain = HEAD.replace("#CHROM", "##contig=<ID=one>\n#CHROM") + "".join(rows).upper().replace("ONE", "one")
    source = tmp_path / "packed"
    if kind == "bcf":
        pysam = pytest.importorskip("pysam", reason="the extra genomics is not installed")
        (tmp_path / "plain.vcf").write_text(plain)
        with (
            pysam.VariantFile(str(tmp_path / "plain.vcf")) as old,
            pysam.VariantFile(str(source), "wb", header=old.header) as new,
        ):
            for record in old:
                new.write(record)
    elif kind == "gzip":
        source.write_bytes(gzip.compress(plain.encode()))
    else:
        with source.open("wb") as file:
            packed = BlockGzip(file)
            packed.write(plain.encode())
            packed.finish()
    capfd.readouterr()
    wanted = score(rows)
    asked = Asked(str(tmp_path / "genome.fa"), device="cpu")
    score_variants(run, source, tmp_path / "again.tsv.gz", asked)
    assert (
        numbers(table(gzip.decompress((tmp_path / "again.tsv.gz").read_bytes()).decode())).tolist() == numbers(wanted).tolist()
    )
    assert not is_truncated(tmp_path / "again.tsv.gz")
    assert capfd.readouterr().err == ""


def test_htslib_reads_what_is_written(score, tmp_path):
    pysam = pytest.importorskip("pysam", reason="the extra genomics is not installed")
    statuses = [(text, want) for text, want in ODD if "Two" not in text and "\t0\t" not in text]
    body = sorted((text for text, _ in statuses), key=lambda text: (text.split("\t")[0], int(text.split("\t")[1])))
    score(body, name="out.vcf.gz", on_mismatch="skip")
    pysam.tabix_index(str(tmp_path / "out.vcf.gz"), preset="vcf")
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as file:
        (made_by,) = [record for record in file.header.records if record.key == "findna_kit_variants"]
        assert made_by["length"] == "64"
        found = list(file.fetch("one", 59, 60))
    assert found[0].info["FINDNA_STATUS"] == ("scored", "scored", "distance_only", "symbolic_allele", "symbolic_allele")
    assert [value is None for value in found[0].info["FINDNA_LLR"]] == [False, False, True, True, True]


def test_a_run_that_predicts_no_bases_gives_distances(score, tmp_path):
    said = []
    of = made(tmp_path / "run", "distill_only")
    (found,) = score([row("one", 90, at(90), other(at(90)))], of=of, say=said.append)
    assert (found["status"], found["llr"]) == ("distance_only", ".")
    assert float(found["euclidean"]) > 0
    assert "has no loss that predicts nucleotides, so there is no log-likelihood ratio" in said[-1]


@pytest.mark.parametrize(
    ("absent", "hint"), [("1", "'chr1'"), ("CHR1", "'chr1'"), ("chrMT", "'chrM'"), ("scaffold_8", "'scaffold_9'")]
)
def test_another_name_of_a_contig_is_a_hint_and_no_match(score, absent, hint):
    said = []
    genome = {"chr1": ONE[:100], "chrM": ONE[:100], "scaffold_9": ONE[:100]}
    (found,) = score([row(absent, 5, at(5), other(at(5)))], genome=genome, say=said.append)
    assert found["status"] == "contig_absent"
    assert f"; did you mean {hint}?" in said[0]


def test_length_branch_step_and_strand_are_those_asked_for(score, tmp_path):
    line = [row("one", 90, at(90), other(at(90)))]
    scores = {
        score(line, **asked)[0]["llr"]
        for asked in ({}, {"length": 21}, {"branch": "student"}, {"step": 0}, {"strand": "forward"})
    }
    assert len(scores) == 5
    (short,) = score(line, length=3)
    assert np.isfinite(float(short["llr"]))
    with pytest.raises(FindnaError, match="--length 2: at least 3 is wanted"):
        score(line, length=2)
    of = made(tmp_path / "run", "masked_only", "encoder={name: transformer, dim: 16, hidden: 16, blocks: 1, heads: 2}")
    with pytest.raises(FindnaError, match="--length 5000: the encoder takes at most 64 nucleotides"):
        score(line, of=of, length=5000)


BAD = [
    ("", "is no VCF"),
    ("one\t1\t.\tA\tC\t.\t.\t.\n", ":1: is no VCF: it must begin with ##fileformat=VCF"),
    ("##fileformat=VCFv4.2\none\t1\t.\tA\tC\t.\t.\t.\n", ":2: is no VCF: the line that begins with #CHROM is missing"),
    (HEAD.replace("\tREF", ""), "is no VCF: a line with the columns"),
    (HEAD + "one\t1\t.\tA\tC\t.\t.\n", ":4: has 7 columns, and its header 8"),
    (HEAD + "one 1 . A C . . .\n", ":4: has 1 columns"),
    (HEAD + row("one", "1.5", "A", "C"), "in.vcf:4: POS '1.5' is no number"),
    (HEAD + row("one", "-1", "A", "C"), "POS '-1' is no number"),
    (HEAD + row("one", 1, ".", "C"), "REF '.' is not made of bases"),
    (HEAD + row("one", 1, "A", "C,"), "ALT '' is neither bases nor a symbol"),
    (HEAD + row("one", 1, "A", "Z"), "ALT 'Z' is neither"),
    (HEAD + row("one", 1, "A", "C,."), "ALT '.' is neither"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_what_is_no_vcf_is_refused_with_its_line(text, sentence, tmp_path):
    path = tmp_path / "in.vcf"
    path.write_text(text)
    with pytest.raises(FindnaError) as refused:
        list(read_vcf(path).lines)
    assert sentence in str(refused.value)


def test_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    packed = gzip.compress((HEAD + row("one", 1, "A", "C") * 100).encode())
    (tmp_path / "cut.vcf.gz").write_bytes(packed[:-20])
    with (tmp_path / "blocks.vcf.gz").open("wb") as file:
        blocks = BlockGzip(file)
        blocks.write(HEAD.encode())
        blocks.finish()
    whole = (tmp_path / "blocks.vcf.gz").read_bytes()
    (tmp_path / "blocks.vcf.gz").write_bytes(whole[:-28])
    (tmp_path / "a.bcf").write_bytes(b"BCF\x02\x02")
    (tmp_path / "folder").mkdir()
    sentences = {
        "cut.vcf.gz": "is a broken or truncated gzip file",
        "blocks.vcf.gz": "is bgzip without its last block",
        "absent.vcf": "cannot be read: No such file or directory",
        "folder": "is no regular file",
        "x" * 300: "cannot be read: File name too long",
    }
    for name, sentence in sentences.items():
        with pytest.raises(FindnaError, match=sentence):
            list(read_vcf(tmp_path / name).lines)
    if pytest.importorskip("pysam", reason="the extra genomics is not installed"):
        with pytest.raises(FindnaError, match=r"a\.bcf: cannot be read"):
            read_vcf(tmp_path / "a.bcf")
    monkeypatch.setattr("findna_kit.runs.extras.find_spec", lambda name: None)
    with pytest.raises(
        FindnaError, match=r"reading BCF needs pysam, which is not installed: pip install 'findna-kit\[genomics\]'"
    ):
        read_vcf(tmp_path / "a.bcf")


def test_an_output_is_not_replaced_unless_told(score, tmp_path):
    line = [row("one", 90, at(90), other(at(90)))]
    (tmp_path / "out.tsv").write_text("mine")
    with pytest.raises(OutputExists, match="is there already; take another --out FILE, or --overwrite it"):
        score(line, name="out.tsv", overwrite=False)
    assert (tmp_path / "out.tsv").read_text() == "mine"
    for name, sentence in (
        ("in.vcf", "is what is read"),
        ("out.txt", "a name that ends in .vcf, "),
        ("in.vcf/x.vcf", "cannot be written"),
    ):
        with pytest.raises(FindnaError, match=sentence):
            score(line, name=name)
    (tmp_path / "folder.vcf").mkdir()
    with pytest.raises(OutputExists, match="is a folder; name a file"):
        score(line, name="folder.vcf")
    score(line, name="out.tsv")
    assert table((tmp_path / "out.tsv").read_text())[0]["status"] == "scored"


def test_no_line_gives_no_row(score):
    assert score([]) == []
    assert score.told["statuses"] == {}


def test_a_real_mitochondrion_with_variants_of_disease(score, run, tmp_path):
    genome = SHARED / "genomes" / "small" / "MT-human.fa.gz"
    if not genome.exists():
        pytest.skip(f"{genome} is not here: the shared data come with the workplace, not with the repository")
    known = [(1, "G", "A"), (3243, "A", "G"), (8993, "T", "G,C"), (16569, "G", "A")]
    (tmp_path / "in.vcf").write_text(HEAD + "".join(row("MT_human", *one) for one in known))
    told = score_variants(run, tmp_path / "in.vcf", tmp_path / "out.vcf", Asked(str(genome), length=1001, device="cpu"))
    assert told["statuses"] == {"scored": 5}


BASES = st.text("ACGT", min_size=1, max_size=12)


@given(BASES, BASES)
def test_trimming_takes_what_both_share_and_no_more(reference, alternative):
    start, one, two = _trimmed(reference, alternative)
    end = reference[start + len(one) :]
    assert reference[:start] + one + end == reference
    assert alternative == reference[:start] + two + end
    assert not (one and two and (one[0] == two[0] or one[-1] == two[-1]))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(fasta(tmp_path_factory.mktemp("genome") / "genome.fa", {"there": ONE, "back": turned(ONE)}))


@given(data=st.data(), length=st.integers(3, 400))
def test_a_window_lies_in_its_contig_and_is_that_of_the_other_strand(store, data, length):
    size = data.draw(st.integers(0, min(50, length // 2)))
    start = data.draw(st.integers(0, 300 - size))
    alternative = data.draw(st.text("ACGT", min_size=0 if size else 1, max_size=max(1, min(50, length // 2))))
    there = window(store, Allele("scored", 0, start, ONE[start : start + size].upper(), alternative), length)
    behind = 300 - start - size
    back = window(store, Allele("scored", 1, behind, turned(ONE[start : start + size]).upper(), turned(alternative)), length)
    assert (back.reference, back.alternative) == (turned(there.reference), turned(there.alternative))
    side = (length - max(size, len(alternative))) // 2
    assert len(there.reference) == min(300, 2 * side + size)
    assert max(len(there.reference), len(there.alternative)) <= max(length, 1)
    assert there.reference in ONE.upper()
    assert there.alternative == there.reference[: there.offset] + alternative + there.reference[there.offset + size :]
    middle = side <= start and side <= behind
    assert not middle or there.offset == side


def test_half_of_the_window_may_change_but_no_more_than_fifty_bases(store, tmp_path):
    (tmp_path / "in.vcf").write_text(
        HEAD + row("there", 10, at(10), ",".join(at(10) + "A" * count for count in (20, 21, 50, 51)))
    )
    (line,) = read_vcf(tmp_path / "in.vcf").lines
    statuses = {length: [allele.status for allele in Judge(store, length, predicts=True)(line)] for length in (40, 400)}
    assert statuses[40] == ["distance_only", "too_long", "too_long", "too_long"]
    assert statuses[400] == ["distance_only", "distance_only", "distance_only", "too_long"]
