"""The command line: results on stdout, progress on stderr, exit codes, no traceback for a user's mistake."""

import json
import re
import subprocess
import sys

import pytest

from tests.building import ROOT, SHARED, SMALL, SMALL_HEAD, command, sets

LONG = "x" * 300
"""No file system takes a name of more than 255 bytes."""
SHIPPED = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
WITHOUT_MASKED_BASES = {"distill_only", "genojepa", "lejepa"}


def fine(*arguments, **kwargs):
    done = command(*arguments, **kwargs)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(*arguments, code=2, **kwargs):
    done = command(*arguments, **kwargs)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_help_and_version_come_without_torch():
    probe = "import sys, runpy; sys.argv = ['findna-kit', '--help']\ntry: runpy.run_module('findna_kit', run_name='__main__')\n"
    probe += "except SystemExit: print(sorted({'torch', 'pluggy', 'sklearn', 'tensorboard'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for verb in ("run", "check", "show", "recipes", "components", "plugins", "genome", "evaluate"):
        assert verb in done.stdout
    assert fine("--version").stdout.startswith("findna-kit ")


def test_importing_the_package_comes_without_torch():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, findna_kit; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == "False\n"


def test_a_mistyped_command_is_answered():
    assert "run" in refused("runn")
    assert refused("run")


def test_recipes_lists_what_is_shipped():
    listed = fine("recipes", env={"FINDNA_KIT_PLUGINS": "none"}).stdout
    names = [line.split()[0] for line in listed.splitlines()[1:]]
    assert [name for name in names if not name.startswith("methods/")] == SHIPPED
    assert {"methods/byol", "methods/dino", "methods/two_views"} <= set(names)


def test_a_recipe_of_a_method_says_which_plugin_it_needs():
    said = refused("check", "methods/byol", env={"FINDNA_KIT_PLUGINS": "none"})
    assert "no loss is called 'byol'" in said
    assert said.splitlines()[-1] == "recipes of published methods need findna-kit-objectives: pip install it"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_runs_a_few_steps(name, tmp_path):
    cut = sets(
        *(o for o in SMALL if not o.startswith(("encoder", "class_tokens"))),
        "data.genome=builtin",
        "data.batch_size=4",
        "steps=2",
    )
    narrow = [] if name != "findna" else sets("encoder.dim=44", "encoder.hidden=48")
    done = fine("run", ROOT / "recipes" / f"{name}.yaml", *cut, *narrow, "--out", tmp_path / "run", "--device", "cpu")
    assert "collapse signals" in done.stdout
    assert ("masked bases of validation windows" in done.stdout) == (name not in WITHOUT_MASKED_BASES)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def write_task(folder):
    rows = ["sequence,label", *(f"{('ACGGC' if i % 2 else 'ATTAT') * 8}{'ACGT'[i % 4] * (i % 9)},{i % 2}" for i in range(40))]
    folder.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")


def test_run_prints_scores_beside_controls(tmp_path):
    write_task(tmp_path / "task")
    write_task(tmp_path / "other" / "task")
    overrides = sets(*SMALL, *SMALL_HEAD, "steps=2", f"evaluation.tasks=[{tmp_path / 'task'}]")
    done = fine("run", "self_distill", *overrides, "--out", tmp_path / "run", "--device", "cpu")
    for said in (
        "fitted on 4,140,000 bases of the training split",
        "markov_5",
        "two_sided_",
        "linear probe",
        "k-NN",
        "random initialisation",
        "k-mer logistic regression",
        "majority",
        "[",
    ):
        assert said in done.stdout
    assert "step 2 of 2" in done.stderr
    again = fine("evaluate", tmp_path / "run", tmp_path / "task", "--protocol", "knn", "--json", "--device", "cpu")
    assert json.loads(again.stdout)[0]["protocols"].keys() == {"knn"}
    both = (tmp_path / "task", tmp_path / "other" / "task")
    shown = fine("evaluate", tmp_path / "run", *both, "--protocol", " knn, probe ", "--device", "cpu").stdout
    for folder in both:
        assert f"task task in {folder} (train 40" in shown
    assert f"task task in {both[0]}" not in done.stdout, "one task needs no path"
    assert "unknown protocol 'kn'; did you mean 'knn'?" in refused(
        "evaluate", tmp_path / "run", tmp_path / "task", "--protocol", "kn"
    )
    assert "is not a run folder" in refused("evaluate", tmp_path, tmp_path / "task")
    assert "nowhere" in refused("evaluate", tmp_path / "run", tmp_path / "nowhere")
    assert "is not a path of a task (File name too long)" in refused("evaluate", tmp_path / "run", LONG)
    assert "is not a run folder (File name too long)" in refused("evaluate", LONG, tmp_path / "task")


def test_out_and_resume_exclude_each_other(tmp_path):
    assert "give one of them" in refused("run", "self_distill", "--out", tmp_path / "a", "--resume", tmp_path / "b")


def test_a_run_needs_a_recipe_or_a_folder_that_has_one(tmp_path):
    assert "name a RECIPE, or the folder of a run with --resume" in refused("run")
    assert "name a RECIPE" in refused("run", "--out", tmp_path / "run")
    said = refused("run", "--resume", tmp_path / "run")
    remedy = f"give the folder of a run, or start one there: findna-kit run RECIPE --resume {tmp_path}/run"
    assert f"{tmp_path}/run/recipe.yaml: no such file; {remedy}" in said
    assert not (tmp_path / "run").exists()


def test_an_out_that_exists_is_refused(tmp_path):
    (tmp_path / "kept").write_text("x")
    assert "--overwrite" in refused("run", "self_distill", "--out", tmp_path)


def test_a_run_that_stops_itself_exits_with_3(tmp_path):
    explodes = sets(*SMALL, "steps=9", "optimizer.learning_rate=1e30", "optimizer.clip_norm=null")
    assert "nothing of this step was applied" in refused("run", "masked_only", *explodes, "--out", tmp_path / "run", code=3)


def test_check_assembles_without_data(tmp_path):
    encoder = sets("encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 1}", "class_tokens=2", "data.length=64")
    assert re.match(
        r"self_distill: valid; [\d,]+ parameters in the encoder, [\d,]+ trainable", fine("check", "self_distill").stdout
    )
    assert "valid; 10,366 parameters in the encoder" in fine("check", "self_distill", *encoder).stdout
    assert "data.genome: /nowhere/x.fa: no such file" in refused("check", "self_distill", *sets("data.genome=/nowhere/x.fa"))
    assert "needs class tokens" in refused("check", "self_distill", *sets("class_tokens=0", "losses.distill.reads=class"))
    assert "12,650,328 parameters" in fine("check", "findna", *sets("data.genome=builtin")).stdout


def test_tasks_are_read_before_training(tmp_path):
    """A task that nobody can score is found by `check`, and by `run` before it makes a folder."""
    (tmp_path / "empty").mkdir()
    write_task(tmp_path / "bad")
    (tmp_path / "bad" / "test.csv").write_text("sequence,label\nACGT,9\n")
    tasks = sets(f"evaluation.tasks=[builtin, {tmp_path / 'empty'}, {tmp_path / 'bad'}, {LONG}]", "data.genome=/nowhere/x.fa")
    for verb in (("check",), ("run", "--out", tmp_path / "run")):
        said = refused(verb[0], "self_distill", *verb[1:], *tasks)
        assert "data.genome: /nowhere/x.fa: no such file" in said
        assert f"evaluation.tasks.1: {tmp_path / 'empty'} has no test split" in said
        assert "test.csv:2: the label '9' is not in train.csv" in said
        assert "evaluation.tasks.3: " in said and "File name too long" in said
        assert "evaluation.tasks.0" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["data.genome=%s", "data.validation={bed: %s}"])
def test_check_answers_to_a_path_that_no_file_can_have(key):
    assert "cannot be reached: File name too long" in refused("check", "self_distill", *sets(key % LONG))
    assert "cannot be reached: embedded null byte" in refused("check", "self_distill", *sets(key % r'"a\0b"'))


def test_show_prints_a_recipe_that_is_the_same_recipe(tmp_path):
    shown = fine("show", "self_distill", *sets("seed=9")).stdout
    (tmp_path / "again.yaml").write_text(shown)
    assert fine("show", tmp_path / "again.yaml").stdout == shown
    assert "seed: 9" in shown


def test_components_lists_kinds_names_and_parameters():
    everything = fine("components").stdout
    for name in (
        "chordmixer",
        "transformer",
        "reverse_complement",
        "independent",
        "self_distillation",
        "info_nce",
        "ema",
        "none",
    ):
        assert name in everything
    assert "masked_nucleotides" not in fine("components", "encoder").stdout
    one = fine("components", "self_distillation").stdout
    assert "student_temperature" in one
    assert "divides its logits" in one
    described = json.loads(fine("components", "ema", "--json").stdout)
    assert [one["name"] for one in described[0]["parameters"]] == ["buffers", "momentum"]
    assert "did you mean 'chordmixer'?" in refused("components", "chordmixr")


def test_plugins_are_listed():
    listed = json.loads(fine("plugins", "list", "--json").stdout)
    builtin = {"plugin": "builtin", "distribution": "findna-kit", "version": "0.1.0", "module": "findna_kit.builtin"}
    assert builtin | {"brings": "components", "let_in": True} in listed


def test_genome_reports(tmp_path):
    (tmp_path / "g.fa").write_text(">one\nACGTNNNNRYacgt\n>two\nGGGG\n")
    said = fine("genome", tmp_path / "g.fa", "--length", 4, "--max-unknown", 0).stdout
    assert "one" in said and "letter R" in said and "letter Y" in said
    report = json.loads(fine("genome", tmp_path / "g.fa", "--length", 4, "--max-unknown", 0, "--json").stdout)
    assert report["total"]["length"] == 18
    assert report["windows"]["inside_contigs"] == 12
    assert report["windows"]["known_enough"] == 3
    assert "there is no file" in refused("genome", tmp_path / "absent.fa")
    assert "the name is too long for a file" in refused("genome", LONG)


def test_traceback_is_shown_when_asked_for():
    done = command("check", "nothing_of_that_name", "--traceback")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize("genome", ["yeast", "human"])
def test_the_same_recipe_on_real_genomes(genome, tmp_path):
    import lzma

    fasta = SHARED / "genomes" / "yeast_sacCer3" / "sacCer3.fa.gz"
    if genome == "human":
        fasta = tmp_path / "chr20.fa"
        fasta.write_bytes(lzma.decompress((SHARED / "genomes" / "human_grch37_chr20" / "chr20.grch37.fa.xz").read_bytes()))
    # A small encoder, because most of the time would go to embedding the task; the genome is what differs here.
    overrides = sets(f"data.genome={fasta}", "steps=5", "encoder.dim=32", "encoder.hidden=32", "encoder.blocks=1")
    done = fine("run", "self_distill", *overrides, "--out", tmp_path / "run", "--device", "cpu", timeout=290)
    assert "this run was trained on another genome" in done.stdout
