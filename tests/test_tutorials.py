"""docs/tutorials: every block runs, in order, with small runs; the output shown has the lines that are printed."""

import gzip
import random
import re
from itertools import pairwise

import pytest

from tests.building import sets
from tests.pages import blocks, follow, page

PAGES = ("first-recipe", "first-ablation")
CONTIGS = ("chrI", "chrII", "chrXVI", "chrM")
RUN = sets("steps=2", "data.batch_size=4", "data.length=64", "trainer.validation_windows=8", "trainer.log_every=1")
TASK = "small"
STUDY = {
    "{data.batch_size: 32}": "{data.batch_size: 4, data.length: 64, trainer.validation_windows: 8, trainer.log_every: 1}",
    "{steps: 150}": "{steps: 2}", "tasks: [builtin]": f"tasks: [{TASK}]",
}  # fmt: skip
"""Changes of the study in first-ablation, like `smaller` for commands."""


def smaller(words):
    """Return a smaller command. With STUDY, this is the only difference between the pages and the test."""
    if words[0] in ("run", "plan"):
        return [*words, *RUN, "--device", "cpu"]
    if words[0] == "ablate":
        return [*words, "--device", "cpu"]
    return [TASK if word == "builtin" else word for word in words]


def text_of(name):
    text = page(f"tutorials/{name}.md")
    for shown, replacement in STUDY.items() if name == "first-ablation" else ():
        assert text.count(shown) == 1
        text = text.replace(shown, replacement)
    return text


@pytest.fixture(scope="module", params=PAGES)
def followed(request, tmp_path_factory):
    """Run the page with a small genome, and a task of 60 sequences in place of the built-in one."""
    folder, draw = tmp_path_factory.mktemp(request.param), random.Random(7)
    with gzip.open(folder / "genome.fa.gz", "wt") as fasta:
        fasta.writelines(f">{name}\n{''.join(draw.choices('ACGT', k=2000))}\n" for name in CONTIGS)
    (folder / TASK).mkdir()
    for part in ("train", "dev", "test"):
        rows = [f"{''.join(draw.choices(('ACGT', 'ACCGGT')[label], k=60))},{label}" for label in (0, 1) * 10]
        (folder / TASK / f"{part}.csv").write_text("\n".join(["sequence,label", *rows]))
    return request.param, folder, follow(text_of(request.param), folder, smaller)


def firsts(text):
    """Return the beginnings of lines, up to two spaces, without numbers."""
    lines = [re.split(r"  +|[0-9(:]", line.strip())[0].strip() for line in text.splitlines()]
    return {line for line in lines if line and line != "..."}


def columns(text):
    """Return the columns of every line."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def heads(text):
    """Return the columns of each table header: a line with several columns and no number."""
    found = columns(text.replace("builtin", TASK))
    return [line for line in found if len(line) > 1 and not re.search(r"\d", "".join(line))]


def test_the_output_on_the_page_is_what_is_printed(followed):
    name, _, printed = followed
    shown = headed = 0
    for (_, _, out), (language, text, _) in pairwise(printed):
        if language == "text":
            missing = {first for first in firsts(text) if first not in out}
            assert missing == set(), f"{name}: {out}"
            for head in heads(text):  # a page may show the first columns alone
                assert head in [line[: len(head)] for line in columns(out)], f"{name}: {out}"
                headed += 1
            shown += 1
    assert headed >= 2, f"{name}: its tables have headers"
    assert shown == sum(language == "text" for language, _ in blocks(page(f"tutorials/{name}.md"))) >= 1


def test_the_runs_named_on_the_page_exist(followed):
    name, folder, _ = followed
    named = set(re.findall(r"\b(?:runs|studies)/[\w-]+[\w]", page(f"tutorials/{name}.md")))
    there = {record.parent.relative_to(folder).as_posix() for record in folder.rglob("run.json")}
    assert len(there) >= 2
    assert named and all(any(run.startswith(name) for run in there) for name in named)
    assert all((folder / run / "evaluation.json").is_file() for run in there)
