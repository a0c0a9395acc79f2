"""The command report: where the page goes, and what it says where there is none."""

import json
import subprocess
import sys

import pytest

from tests.building import command
from tests.installing import findna


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "it's here"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"name": "x", "status": "interrupted", "reason": "SIGTERM", "steps": 10}))
    (folder / "metrics.jsonl").write_text('{"step": 0, "loss": 1.5}\n')
    return folder


def test_it_says_where_the_page_is(run):
    done = command("report", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{run}/report.html: the report (")
    text = (run / "report.html").read_text()
    assert "interrupted: SIGTERM" in text
    quoted = f"findna-kit evaluate &#39;{run.name.replace(chr(39), '&#39;&#34;&#39;&#34;&#39;')}&#39; TASK"
    assert quoted in text, "a shell takes it, relative to where the run is"


@pytest.mark.parametrize(("words", "sentence"), [
    (["NOWHERE"], "NOWHERE: is not a folder; give a folder that `run` or `ablate` made\n"),
    (["."], ".: neither a run's folder nor a study's; give a folder that `run` or `ablate` made\n"),
    (["RUN", "."], "a report of 2 folders needs --out FILE.html\n"),
    (["RUN", "--out", "there.txt"], "there.txt: exists and is not a report of findna-kit, so it is not replaced; "
     "name another --out\n"),
])  # fmt: skip
def test_what_is_wrong_is_a_sentence(run, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").write_text("mine")
    assert findna("report", *[run if word == "RUN" else word for word in words]) == (2, "", sentence)
    assert (tmp_path / "there.txt").read_text() == "mine"


def test_a_run_that_cannot_be_embedded_is_refused(run, tmp_path):
    code, out, said = findna("report", run, "--embed", "builtin", "--out", tmp_path / "page.html")
    assert (code, out) == (2, "") and "it has no checkpoint in checkpoints/" in said
    assert not (tmp_path / "page.html").exists()


def test_help_needs_neither_torch_nor_jinja():
    probe = "import sys\nfrom findna_kit.cli.app import app\ntry: app(['report', '--help'])\nexcept SystemExit: pass\n"
    probe += "assert not {'torch', 'jinja2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True)
