"""Folders as the suites publish them: GUE's, and GenomicBenchmarks' in its three forms."""

import random

import pytest

from findna_kit.evaluation import load_task
from tests.evaluation.tasks.writing import loaded, refused, rows_of, sizes, task_file, written

DRAW = random.Random(4)
GENOME = {"chr1": "".join(DRAW.choices("ACGT", k=4000)), "chr2": "".join(DRAW.choices("ACGTN", k=3000))}
OTHER = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def cut(contig, start, end, strand):
    letters = GENOME[contig][start:end]
    return letters if strand == "+" else "".join(OTHER[letter] for letter in reversed(letters))


def intervals(seed, count):
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        contig = draw.choice(["chr1", "chr2"])
        start = draw.randrange(len(GENOME[contig]) - 90)
        found.append((contig, start, start + draw.randrange(10, 90), draw.choice("+-")))
    return found


CHOSEN = {(part, name): intervals(f"{part}{name}", 12) for part in ("train", "test") for name in ("negative", "positive")}
EXPECTED = {key: [cut(*one) for one in found] for key, found in CHOSEN.items()}


def genome(folder, text="fa"):
    lines = [line for name, letters in GENOME.items() for line in (f">{name}", letters)]
    return written(folder / f"genome.{text}", *lines)


def cache(folder):
    """What the package genomic-benchmarks keeps: PART/CLASS/N.txt."""
    for (part, name), sequences in EXPECTED.items():
        for number, sequence in enumerate(sequences):
            path = folder / part / name / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(sequence)  # as the package writes it: without an end of line
    return folder


def export(folder):
    names = enumerate(("negative", "positive"))
    chosen = [(label, name, part) for label, name in names for part in ("train", "test")]
    for part in ("train", "test"):
        rows = [f"{row},{label}" for label, name, own in chosen if own == part for row in EXPECTED[part, name]]
        written(folder / f"{part}.csv", "seq,label", *rows)
    return folder


def lists(folder, suffix=".csv.gz"):
    for (part, name), found in CHOSEN.items():
        rows = [f"{number},{contig},{start},{end},{strand}" for number, (contig, start, end, strand) in enumerate(found)]
        written(folder / part / f"{name}{suffix}", "id,region,start,end,strand", *rows)
    return folder


def by_class(task):
    """All rows of train and validation, and those of test, by class."""
    found = {}
    for part in ("train", "validation", "test"):
        for sequence, name in rows_of(task, part):
            found.setdefault(("test" if part == "test" else "train", name), []).append(sequence)
    return {key: sorted(sequences) for key, sequences in found.items()}


def test_the_packages_cache(tmp_path):
    task = loaded(cache(tmp_path / "human_nontata"))
    assert task.classes == ("negative", "positive")
    assert by_class(task) == {key: sorted(sequences) for key, sequences in EXPECTED.items()}
    assert task.notes[0].startswith("there is no dev split: 17% of train, by class and with a fixed seed, was split off")


def test_the_csv_export(tmp_path):
    task = loaded(export(tmp_path / "human_nontata"))
    numbered = {(part, str(["negative", "positive"].index(name))): sorted(found) for (part, name), found in EXPECTED.items()}
    assert by_class(task) == numbered


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv"])
def test_interval_lists_and_a_genome(tmp_path, suffix):
    lists(tmp_path / "set", suffix)
    genome(tmp_path)
    task = loaded(task_file(tmp_path, "folder: [set]\ngenome: genome.fa"))
    assert by_class(task) == {key: sorted(sequences) for key, sequences in EXPECTED.items()}


def test_interval_lists_with_a_genome_for_each_class(tmp_path):
    lists(tmp_path / "set")
    genome(tmp_path)
    written(tmp_path / "swapped.fa", ">chr1", "A" * 4000, ">chr2", "C" * 3000)
    task = loaded(task_file(tmp_path, "folder: [set]\ngenome: {negative: genome.fa, positive: swapped.fa}"))
    found = by_class(task)
    assert found["test", "negative"] == sorted(EXPECTED["test", "negative"])
    assert set("".join(found["test", "positive"])) <= set("ACGT")
    assert all(len(set(sequence)) == 1 for sequence in found["test", "positive"])
    lost = task_file(tmp_path, "folder: [set]\ngenome: {negative: genome.fa}", "lost.yaml")
    assert "positive.csv.gz holds intervals: write a task file that has `genome: {positive: FASTA}`" in refused(lost)


def test_interval_lists_are_split_by_chromosome(tmp_path):
    for part in ("train", "test"):
        for name in ("negative", "positive"):
            rows = [f"{n},chr{n % 6},{n},{n + 20},+" for n in range(60)]
            written(tmp_path / "set" / part / f"{name}.csv.gz", "id,region,start,end,strand", *rows)
    contigs = [line for n in range(6) for line in (f">chr{n}", "".join(DRAW.choices("ACGT", k=200)))]
    written(tmp_path / "genome.fa", *contigs)
    task = loaded(task_file(tmp_path, "folder: [set]\ngenome: genome.fa"))
    assert sizes(task) == (100, 20, 120)
    assert "17% of train, all samples on chr" in task.notes[0]


def test_a_contig_may_go_by_its_ensembl_name(tmp_path):
    for part in ("train", "test"):
        written(tmp_path / "set" / part / "coding.csv", "0,ENST01,0,4,+", "1,ENST01,1,5,-", "2,ENST01,2,6,+")
        written(tmp_path / "set" / part / "other.csv", "0,chr7,0,4,+", "1,chr7,1,5,+", "2,7,2,6,+")
    written(tmp_path / "genome.fa", ">ENST01.2", "AACCGGTT", ">7", "TTTTACGT")
    task = loaded(task_file(tmp_path, "folder: [set]\ngenome: genome.fa"))
    assert rows_of(task, "test") == [
        ("AACC", "coding"), ("CGGT", "coding"), ("CCGG", "coding"), ("TTTT", "other"), ("TTTA", "other"), ("TTAC", "other"),
    ]  # fmt: skip


def test_interval_lists_without_a_genome_say_what_is_missing(tmp_path):
    lists(tmp_path / "set")
    assert "negative.csv.gz holds intervals: write a task file that has `genome: FASTA` and names the folder" in refused(
        tmp_path / "set"
    )
    stated = task_file(tmp_path, "folder: [set]\ngenome: gone.fa")
    assert f"its genome cannot be used: there is no file {tmp_path / 'gone.fa'}" in refused(stated)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,chr1,3990,4001,+", "3990-4001 ends beyond 'chr1', which has 4000 bases; is "),
        ("0,chr1,30,20,+", "invalid interval '30' to '20'"),
        ("0,chr1,-3,20,+", "invalid interval '-3' to '20'"),
        ("0,chr1,3,20,x", "invalid strand 'x'; expected + - or ."),
        ("0,chr11,3,20,+", "has no contig 'chr11'; did you mean 'chr1'?"),
        ("0,chr1,3,20", "4 columns; an interval list has id, region, start, end, strand"),
    ],
)
def test_a_wrong_interval_is_named_by_its_line(tmp_path, row, message):
    lists(tmp_path / "set", ".csv")
    genome(tmp_path)
    written(tmp_path / "set" / "test" / "positive.csv", "id,region,start,end,strand", "0,chr1,1,9,+", row)
    found = refused(task_file(tmp_path, "folder: [set]\ngenome: genome.fa"))
    assert "positive.csv:3: " in found
    assert message in found


def test_layouts_are_not_mixed_in_silence(tmp_path):
    both = cache(tmp_path / "both")
    written(both / "test.csv", "sequence,label", "ACGT,positive")
    assert "has both test.csv and test/: remove the one that is not meant" in refused(both)
    (both / "test.csv").unlink()
    written(both / "test" / "positive.csv", "0,chr1,1,9,+")
    assert "test has both interval lists and folders of sequences" in refused(both)
    twice = lists(tmp_path / "twice")
    written(twice / "train" / "positive.csv", "0,chr1,1,9,+")
    assert "has both positive.csv and positive.csv.gz" in refused(twice)


def test_a_class_without_sequences_or_with_an_empty_one_is_refused(tmp_path):
    folder = cache(tmp_path / "set")
    (folder / "test" / "positive" / "3.txt").write_text("\n")
    assert "3.txt is empty: download it again" in refused(folder)
    (folder / "test" / "empty").mkdir()
    assert "empty holds no sequences (.txt files with one each)" in refused(folder)


def test_hidden_folders_are_no_classes(tmp_path):
    folder = cache(tmp_path / "set")
    (folder / "test" / ".ipynb_checkpoints").mkdir()
    assert sizes(loaded(folder)) == (20, 4, 24)


def gue(folder, parts=("train", "dev", "test"), classes=2):
    for part in parts:
        written(folder / f"{part}.csv", "sequence,label", *(f"{'ACGT' * 5}{'A' * n},{n % classes}" for n in range(20)))
    return folder


@pytest.mark.parametrize("name", ["GUE/EMP/H3K4me1", "EMP/H3K4me1"])
def test_gue_folders_are_found_below_the_data_folder(tmp_path, name):
    gue(tmp_path / name)
    task = load_task("gue/H3K4me1", tmp_path)
    assert (task.name, task.path, sizes(task), task.notes) == ("gue/H3K4me1", "gue/H3K4me1", (20, 20, 20), ())
    assert (task.metric, task.published.suite, task.finetune.epochs) == ("mcc", "GUE", 20)


def test_the_data_folder_may_be_named_by_a_variable(tmp_path, monkeypatch):
    gue(tmp_path / "GUE/tf/1")
    monkeypatch.setenv("FINDNA_KIT_TASKS", str(tmp_path))
    assert sizes(load_task("gue/tf_1")) == (20, 20, 20)
    assert sizes(load_task("gue/tf_1", tmp_path)) == (20, 20, 20)


def test_gue_without_train_is_said(tmp_path):
    gue(tmp_path / "GUE/EMP/H3", ("dev", "test"))
    task = load_task("gue/H3", tmp_path)
    assert sizes(task) == (16, 4, 20)
    assert task.notes[0].startswith("there is no train split: dev is used for training, and 20% of it, by class")


def test_other_classes_than_published_are_said(tmp_path):
    gue(tmp_path / "GUE/splice/reconstructed")
    assert load_task("gue/splice", tmp_path).notes == ("the task is published with 3 classes, but these data have 2",)


def test_absent_data_say_what_was_looked_for_and_where_they_are_published(tmp_path, monkeypatch):
    monkeypatch.delenv("FINDNA_KIT_TASKS", raising=False)
    where = "published: GUE.zip, linked from https://github.com/MAGICS-LAB/DNABERT_2"
    looked = f"{tmp_path}/GUE/EMP/H3, {tmp_path}/EMP/H3"
    assert refused("gue/H3", "--data", tmp_path) == f"gue/H3: its data are missing: looked for {looked}; {where}"
    nowhere = refused("gue/H3")
    assert "give the folder that holds them with --data DIR or the variable FINDNA_KIT_TASKS" in nowhere
    assert where in nowhere


def test_absent_data_of_genomic_benchmarks_are_looked_for_in_the_packages_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name = "human_nontata_promoters"
    message = refused(f"genomic_benchmarks/{name}", "--data", tmp_path)
    assert f"{tmp_path}/home/.genomic_benchmarks/{name}; published: https://zenodo.org/records/16605299" in message
    assert f'download_dataset as get; get("{name}")' in message
    cache(tmp_path / "home" / ".genomic_benchmarks" / name)
    assert sizes(load_task(f"genomic_benchmarks/{name}")) == (20, 4, 24)


def test_a_mistyped_shipped_name_is_answered():
    assert "no shipped task has that name; did you mean 'gue/prom_300_tata'?" in refused("gue/prom_300_tat")
