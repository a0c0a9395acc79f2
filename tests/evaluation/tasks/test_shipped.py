"""The shipped task files against the tables of the paper's method and the reference's code, written out here."""

import pytest

from findna_kit.evaluation.tasks import shipped_tasks

# method.md 3: length, batch, epochs, rate, warm-up share, blocks, dropout; weight decay 0.1 unless said.
GENOMIC_BENCHMARKS = {
    "human_nontata_promoters": (251, 1024, 200, 5e-3, 0.3, 4, 0.0),
    "human_enhancers_cohn": (500, 1024, 50, 1e-3, 0.1, 3, 0.3),
    "demo_human_or_worm": (200, 1024, 100, 5e-4, 0.3, 4, 0.2),
    "dummy_mouse_enhancers_ensembl": (4776, 128, 150, 5e-4, 0.3, 2, 0.0),
    "demo_coding_vs_intergenomic_seqs": (200, 1024, 30, 5e-4, 0.3, 2, 0.2),  # "0.2/0.1": in the mixer and between layers
    "human_enhancers_ensembl": (573, 512, 80, 1e-3, 0.2, 3, 0.0),
    "human_ensembl_regulatory": (802, 512, 50, 1e-4, 0.2, 4, 0.1),
    "human_ocr_ensembl": (593, 256, 50, 3e-4, 0.3, 2, 0.3),
}
# Dropout "0 or .1": which is which by config/config_gue.yaml of the reference at 4b271fc.
MARKS = {
    "H3": 0.1, "H3K14ac": 0.1, "H3K36me3": 0.0, "H3K4me1": 0.0, "H3K4me2": 0.1, "H3K4me3": 0.1, "H3K79me3": 0.0, "H3K9ac": 0.0,
    "H4": 0.1, "H4ac": 0.0,
}  # fmt: skip
GUE = {
    **{name: (500, 32, 20, 5e-4, 0.3, 4, dropout) for name, dropout in MARKS.items()},
    "prom_core_all": (70, 32, 10, 5e-4, 0.3, 4, 0.1),
    "prom_core_notata": (70, 512, 10, 5e-4, 0.3, 4, 0.1),
    "prom_core_tata": (70, 32, 10, 5e-4, 0.3, 4, 0.2),  # method.md says .1 of all three; config_gue.yaml, Prom_tata, 0.2
    "prom_300_all": (300, 256, 20, 5e-4, 0.3, 4, 0.1),
    "prom_300_notata": (300, 32, 10, 5e-4, 0.3, 4, 0.1),
    "prom_300_tata": (300, 32, 10, 5e-4, 0.3, 4, 0.0),
    "tf_1": (101, 128, 20, 5e-4, 0.1, 2, 0.2),
    "tf_2": (101, 256, 20, 5e-4, 0.1, 4, 0.2),
    "tf_3": (101, 256, 20, 5e-4, 0.1, 4, 0.2),
    "splice": (400, 64, 20, 5e-5, 0.1, 4, 0.1),
    "covid": (999, 256, 100, 1e-3, 0.3, 4, 0.1),
}
# method.md does not have them; config_gue.yaml, MTcDNA_1k to MTcDNA_16k.
MTCDNA = {
    "1k": (1024, 16, 80, 1e-4, 0.2, 4, 0.1),
    "4k": (4096, 16, 50, 1e-4, 0.2, 4, 0.1),
    "8k": (8192, 16, 50, 1e-4, 0.2, 4, 0.1),
    "16k": (16384, 16, 50, 1e-4, 0.1, 4, 0.1),
}
STATED = {
    **{f"genomic_benchmarks/{name}": row for name, row in GENOMIC_BENCHMARKS.items()},
    **{f"gue/{name}": row for name, row in GUE.items()},
    **{f"mtcdna/{name}": row for name, row in MTCDNA.items()},
}
SMALL_DECAY = {"gue/tf_1", "gue/tf_2", "gue/tf_3", "gue/splice", "gue/covid", "mtcdna/16k"}
CLASSES = {"genomic_benchmarks/human_ensembl_regulatory": 3, "gue/splice": 3, "gue/covid": 9}
SUITES = {"genomic_benchmarks": ("GenomicBenchmarks", "accuracy"), "gue": ("GUE", "mcc"), "mtcdna": ("MTcDNA", "accuracy")}


def described(name):
    return shipped_tasks()[name].read()


def test_every_task_of_the_reference_is_there_and_no_other():
    assert sorted(shipped_tasks()) == sorted(STATED)
    assert (len(GENOMIC_BENCHMARKS), len(MARKS), len(GUE), len(MTCDNA)) == (8, 10, 21, 4)


@pytest.mark.parametrize("name", STATED)
def test_length_and_settings_are_the_published_ones(name):
    file = described(name)
    tuned = file.finetune
    length, batch_size, epochs, learning_rate, warmup, blocks, dropout = STATED[name]
    assert file.length == length
    assert tuned.settings == {
        "batch_size": batch_size, "epochs": epochs, "learning_rate": learning_rate, "warmup": warmup,
        "weight_decay": 0.01 if name in SMALL_DECAY else 0.1, "blocks": blocks, "dropout": dropout,
    }  # fmt: skip
    assert (tuned.marked, tuned.ours) == ("configured", ())


@pytest.mark.parametrize("name", STATED)
def test_suite_metric_and_what_is_certain(name):
    file = described(name)
    suite, metric = SUITES[name.partition("/")[0]]
    assert file.published.suite == suite
    assert file.metric == ("macro_f1" if name == "gue/covid" else metric)
    assert file.published.status == ("certain" if suite == "GenomicBenchmarks" else "configured")
    assert "https://" in file.published.where
    assert file.classes == CLASSES.get(name, 2)


@pytest.mark.parametrize("name", STATED)
def test_a_file_says_in_its_first_line_what_it_is(name):
    assert shipped_tasks()[name].file.read_text().startswith("# ")
