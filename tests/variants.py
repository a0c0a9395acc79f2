"""A small genome, lines of VCF on it, and rows of the table that scoring makes: for tests of variants."""

import numpy as np

from findna_kit.runs import RunLocation, start
from tests.building import small

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
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


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
