"""`findna-kit views`: a window and its views, in 80 columns, in colours on a terminal only."""

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch

from findna_kit.cli import main
from tests.building import ROOT, experiment_of, sets, small
from tests.cli.terminal import Terminal, on_terminal
from tests.installing import findna


@pytest.mark.parametrize("recipe", ["self_distill", "info_nce", "variation:neighbours", "variation:codons"])
def test_every_line_fits_80_columns(recipe):
    code, piped, err = findna("views", recipe)
    assert code == 0, err
    assert max(map(len, piped.splitlines())) <= 80
    assert piped.startswith("window 0 of step 0: chr2R_2000000_7000000:")
    assert on_terminal(80, "views", recipe) == piped
    assert max(map(len, on_terminal(120, "views", recipe).splitlines())) in range(100, 121)


def test_what_is_drawn_is_what_training_sees():
    stated = ("data.length=64", "views.masked.augment=[]", "views.masked.length=[0.5, 0.9]", "encoder.dropout=0")
    recipe = small("masked_only", *stated)[0]
    experiment, data, _ = experiment_of(recipe)
    rows = torch.arange(8)
    (pipeline,) = experiment.pipelines
    view = pipeline.view(data.training.draw(0, rows), seed=recipe.seed, step=0, rows=rows).select(slice(5, 6))
    overrides = (*stated, f"seed={recipe.seed}")
    code, piped, err = findna("views", "masked_only", "--window", "5", "--width", "120", *sets(*overrides))
    assert code == 0, err
    (line,) = [line for line in piped.splitlines() if line.startswith("masked >")]
    body = line.removeprefix("masked >  ")
    assert body.strip().upper() == "".join("ACGTN#"[token] for token in view.student_tokens[0])
    assert len(body) - len(body.lstrip()) == int(view.origin[0, 0])
    assert f"crop of {view.tokens.shape[1]} bases at {int(view.origin[0, 0])}" in piped


def test_colours_on_a_terminal_only():
    def stdout(stream):
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(stream),
            redirect_stderr(io.StringIO()),
            pytest.raises(SystemExit),
        ):
            patch.setattr(sys, "argv", ["findna-kit", "views", "self_distill"])
            main()
        return stream.getvalue()

    assert "\x1b[" in stdout(Terminal())
    assert "\x1b[" not in stdout(io.StringIO())


def test_a_window_that_the_batch_does_not_have_is_an_error():
    code, _, err = findna("views", "self_distill", "--window", "32")
    assert code == 2
    assert "the batch has no window 32; give a number from 0 to 31 (data.batch_size - 1)" in err


def test_a_genome_without_lower_case_is_reported(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">one\n" + "ACGTTGCA" * 3000 + "\n")
    code, _, err = findna(
        "views", "masked_only", "--set", f"data.genome={path}", "--set", "views.masked.mask.repeat_weight=0.1"
    )
    assert code == 0, err
    assert "no base is lower case" in err


def test_the_page_shows_what_the_command_prints():
    (picture,) = re.findall(r"```text\n(.*?)```", (ROOT / "docs" / "views.md").read_text(), re.DOTALL)
    assert findna("views", "self_distill")[1].splitlines() == picture.splitlines()
