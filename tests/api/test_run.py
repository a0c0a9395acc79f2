"""`import findna_kit`: recipes, runs and their curves, scores and models, as from a notebook."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from inspect import signature

import numpy as np
import pytest

import findna_kit as fk
from findna_kit.api.recipes import override_texts
from findna_kit.cli.evaluate import evaluate
from findna_kit.cli.finetune import finetune
from findna_kit.errors import FindnaError, RecipeError
from findna_kit.trainer.stop_request import StopRequest
from tests.building import ROOT
from tests.installing import findna
from tests.report.crafted import BAD, crafted
from tests.runs.test_evaluate import write_task
from tests.trainer.test_resume import assert_same_run


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("tasks") / "small")


@pytest.fixture(scope="module")
def run(tmp_path_factory, task, tiny):
    recipe = fk.load_recipe("masked_only", **{**tiny, "steps": 5, "evaluation.tasks": [task]})
    return fk.run(recipe, out=tmp_path_factory.mktemp("runs") / "run", device="cpu")


def test_one_table_and_its_columns(run, task, tmp_path):
    rows = [
        f"{line},{'xy'[number % 3 == 0]},{split}"
        for split in ("train", "dev", "test")
        for number, line in enumerate((task / f"{split}.csv").read_text().splitlines()[1:])
    ]
    (tmp_path / "my.csv").write_text("\n".join(["sequence,label,other,split", *rows]) + "\n")
    run = fk.Run(shutil.copytree(run.folder, tmp_path / "run"), device="cpu")
    scores = run.evaluate(tmp_path / "my.csv", protocols=["knn"], sequence_column="sequence", label_column="other")
    assert set(scores["task"]) == {"my[sequence_column=sequence, label_column=other]"}
    with pytest.raises(FindnaError, match="there is no column 'none'; the columns are label, other, split"):
        run.finetune(tmp_path / "my.csv", tmp_path / "out", label_column="none")


def test_names_are_listed_and_imported_when_they_are_used():
    code = "import sys, findna_kit as fk; print('torch' in sys.modules, 'pandas' in sys.modules, *dir(fk))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    torch, pandas, *names = done.stdout.split()
    assert (torch, pandas) == ("False", "False")
    assert {"FrozenModel", "Run", "ablate", "hookimpl", "load", "load_recipe", "run"} <= set(names)
    assert all(getattr(fk, name).__doc__ for name in fk.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fk.nothing


def test_keys_of_a_recipe_are_attributes(tmp_path):
    recipe = fk.load_recipe("masked_only", steps=7, optimizer={"learning_rate": np.float32(0.5)}, **{"data.genome": "builtin"})
    assert (recipe.steps, recipe.data.genome, recipe.optimizer.config.learning_rate.plain()) == (7, "builtin", 0.5)
    assert recipe.losses["masked"].name == "masked_nucleotides"
    path = tmp_path / "mine.yaml"
    path.write_text(recipe.dump())
    assert fk.load_recipe(path) == recipe
    assert list(fk.load_recipe("self_distill", **{"losses.distill": None, "views.shifted": None}).losses) == ["masked"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"stps": 3},
        {"steps": "many", "data.length": 0},
        {"data.genome": "no.fa"},
        {"evaluation.tasks": ["nowhere"]},
        {"data.genome": "no.fa", "init_from.run": "lost"},
        {"encoder": "chordmixr"},
    ],
)
def test_errors_are_those_of_check(wrong):
    code, _, printed = findna("check", "masked_only", *(part for text in override_texts(wrong) for part in ("--set", text)))
    with pytest.raises(FindnaError) as raised:
        fk.load_recipe("masked_only", **wrong)
    assert code == 2
    assert printed.endswith(f"{raised.value}\n")


def test_a_value_that_no_recipe_holds_is_refused():
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(FindnaError, match=r"^steps: a recipe holds texts, numbers, true, false, lists and maps \(got"):
            fk.load_recipe("masked_only", steps=value)
    with pytest.raises(RecipeError):
        fk.load_recipe("masked_only", **{"data.length": "64"})  # a text stays one


def test_a_run_has_its_status_recipe_and_files(run):
    assert repr(run) == f"Run({str(run.folder)!r}): finished, 5 steps"
    assert (run.status, run.record.steps, run.recipe.data.length) == ("finished", 5, 64)
    again = fk.Run(str(run.folder))
    assert again.recipe == run.recipe
    assert again.results.keys() == run.results.keys()
    assert run.report().name == "report.html"


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FindnaError, match=r"is not a run folder \(it has no recipe.yaml\)"):
        fk.Run(tmp_path)
    with pytest.raises(FindnaError, match="already exists; take another --out"):
        (tmp_path / "kept").write_text("")
        fk.run("masked_only", out=tmp_path)
    with pytest.raises(FindnaError, match="give one of them"):
        fk.run("masked_only", out=tmp_path, resume=tmp_path)
    with pytest.raises(FindnaError, match="name a RECIPE"):
        fk.run()


def test_metrics_and_scores_are_frames(run, task):
    metrics = run.metrics
    assert metrics.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert metrics["held_out/masked/loss"].notna().tolist() == [True, False, False, False, True, True]
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert metrics["loss"][5] == rows[-1]["loss"]
    scores = run.scores.set_index(["protocol", "features"])
    (result,) = run.results.values()
    assert scores.loc["knn", "encoder"]["score"] == result.protocols["knn"].encoder.score(result.metric).value
    assert scores.loc["knn", "kmer"]["verdict"] in ("above", "below", "not distinguishable")
    assert np.isnan(scores.loc["knn", "encoder"]["difference"])
    assert (scores["low"] <= scores["score"]).all()
    probe = run.evaluate(task, protocols="probe")
    assert set(probe["protocol"]) == {"probe"}
    assert set(run.scores["protocol"]) == {"knn", "probe"}


@pytest.mark.parametrize(
    ("method", "command", "own"), [(fk.Run.evaluate, evaluate, {"tasks"}), (fk.Run.finetune, finetune, {"task", "out"})]
)
def test_options_have_the_defaults_of_the_command(method, command, own):
    options = {name: one.default for name, one in signature(command).parameters.items()} | {"self": None}
    options["shuffled_labels"] = options["shuffled"]
    if "protocol" in options:
        options["protocols"] = tuple(options["protocol"].split(","))
    arguments = {name: one.default for name, one in signature(method).parameters.items() if name not in {"self", *own}}
    assert arguments == {name: options[name] for name in arguments}
    without = {name for name, one in signature(method).parameters.items() if one.default is one.empty}
    assert without == {"self", *own}


def test_a_run_is_fine_tuned_and_the_model_predicts(run, task, tmp_path):
    asked = {"settings": {"epochs": 1, "blocks": 1}, "pooling": "mean", "data": None}
    model = run.finetune(task, tmp_path / "classifier", **asked)
    predictions = model.predict(["ACGTNNACGT", "ttgaca"])
    assert set(predictions.labels) <= set(model.classes)
    assert np.array_equal(fk.load(tmp_path / "classifier").predict(["ACGTNNACGT", "ttgaca"]).scores, predictions.scores)
    assert "finetune" in set(run.scores["protocol"])
    with pytest.raises(FindnaError, match="already exists"):
        run.finetune(task, tmp_path / "classifier", **asked)
    with pytest.raises(FindnaError, match="no setting 'epochz'"):
        run.finetune(task, tmp_path / "other", settings={"epochz": 1})


def test_what_pandas_or_matplotlib_is_needed_for_names_the_extra(run, task, monkeypatch):
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    for wanted in (lambda: run.metrics, lambda: run.scores, lambda: run.evaluate(task), lambda: fk.ablate("objectives")):
        with pytest.raises(FindnaError, match=r"needs pandas, which is not installed: pip install 'findna-kit\[pandas\]'"):
            wanted()
    with pytest.raises(FindnaError, match=r"Run.plot needs matplotlib.*\[plots\]"):
        run.plot()
    assert run.results, "typed records need no extra"


def test_the_model_embeds_as_load_does(run):
    sequences = ["ACGTNNACGT", "ttgaca"]
    assert run.model is run.model
    assert np.array_equal(run.embed(sequences, strand="both"), fk.load(run.folder).embed(sequences, strand="both"))


def test_the_figure_has_a_panel_for_each_kind_of_metric(run, tmp_path):
    figure = run.plot()
    titles = [" ".join(axes.get_title().split()) for axes in figure.axes]
    assert "masked: bits per base, validation windows without augmentation" in titles
    assert "total loss (weighted sum)" in titles
    (masked,) = [axes for axes in figure.axes if "bits" in axes.get_title()]
    labels = [line.get_label() for line in masked.lines]
    assert {"student", "teacher"} < set(labels)
    assert any(f"baseline/{label.replace(' ', '_')}/bits_per_base" in run.metrics for label in labels)
    (rate,) = run.plot(["learning_rate"]).axes
    assert [line.get_xdata().tolist() for line in rate.lines] == [[1, 2, 3, 4, 5]]
    with pytest.raises(FindnaError, match="no metric is called 'leerning_rate', or begins with it") as raised:
        run.plot(["leerning_rate"])
    assert "did you mean 'learning_rate'?" in str(raised.value)


def test_a_notebook_shows_status_score_controls_and_a_curve(run):
    html = run._repr_html_()
    assert f"<b>{run.folder}</b>: finished, 5 steps" in html
    for name in ("encoder", "random initialisation", "k-mer logistic regression"):
        assert f"<td>{name}</td>" in html
    assert "encoder is" in html
    assert html.count("<svg") == 1
    assert "bits per base" in html
    assert run._repr_html_() != html, "IDs differ, so that two outputs of one page do not share them"


def test_names_from_files_are_text(run, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run.folder, copy], check=True)
    run.report()
    (copy / "audit.json").write_bytes((run.folder / "audit.json").read_bytes())
    html = fk.Run(crafted(copy))._repr_html_()
    assert not [text for text in BAD if text in html]


def test_a_run_that_was_not_evaluated_shows_that(tmp_path, tiny):
    done = fk.run(fk.load_recipe("masked_only", **{**tiny, "steps": 0}), out=tmp_path / "run", device="cpu")
    assert "not evaluated yet" in done._repr_html_()
    assert done.scores.empty


INTERRUPTED = """
import findna_kit as fk
try:
    fk.run({recipe!r}, out={out!r}, device="cpu")
except BaseException as error:
    print(type(error).__name__, error)
"""


def test_an_interrupt_saves_and_the_run_resumes_bit_for_bit(tmp_path, tiny):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(fk.load_recipe("self_distill", **{**tiny, **HEAD, "steps": 24, "trainer.checkpoint_every": 100}).dump())
    script = INTERRUPTED.format(recipe=str(recipe), out=str(tmp_path / "cut"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    rows = tmp_path / "cut" / "metrics.jsonl"
    while not (rows.is_file() and rows.read_bytes().count(b"\n") > 3):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert printed.startswith("Interrupted SIGINT: step ")
    assert "in Python, findna_kit.run(resume=FOLDER) continues" in printed
    assert fk.Run(tmp_path / "cut").status == "interrupted"
    saved = int(printed.split("step ")[1].split()[0])
    assert 3 <= saved < 24
    finished = fk.run(resume=tmp_path / "cut", device="cpu")
    assert finished.status == "finished"
    fk.run(recipe, out=tmp_path / "whole", device="cpu")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


HEAD = {"losses.distill.hidden": 32, "losses.distill.bottleneck": 16, "losses.distill.prototypes": 24}


def test_outside_the_main_thread_no_signal_is_handled():
    caught = []

    def listen():
        with StopRequest().listening():
            caught.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert caught == [signal.getsignal(signal.SIGINT)]
