"""Names of metrics: what is built is parsed again, and no other module builds or parses one by hand."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import findna_kit
from findna_kit.metrics import names
from findna_kit.metrics.names import MetricKind, MetricName, parse

SOURCE = Path(findna_kit.__file__).parent
BY_HAND = re.compile(r"(held_out|held_out_plain|collapse|baseline|evaluation)/\S*|/loss|held_out|held_out_plain")
OTHER_MEANINGS = {"cli/runs/list.py": "held_out"}
"""Literals that are no metric: a key of a JSON document."""
words = st.text("abcxyz_", min_size=1).filter(lambda word: word != "kmer")


@given(words, words, words, words)
def test_what_is_built_is_parsed(label, metric, branch, task):
    assert parse(names.loss_metric(label, metric)) == MetricName(MetricKind.TRAINING, label, metric)
    assert parse(names.validation_metric(label, metric)) == MetricName(MetricKind.VALIDATION, label, metric)
    plain = names.plain_validation_metric(label, metric, branch)
    assert parse(plain) == MetricName(MetricKind.PLAIN_VALIDATION, label, metric, branch)
    assert parse(names.collapse_metric(branch, metric)) == MetricName(MetricKind.COLLAPSE, branch, metric)
    assert parse(names.baseline_metric(label, metric)) == MetricName(MetricKind.BASELINE, label, metric)
    for of in (task, f"{task}/{label}"):
        score = names.task_metric(of, branch, metric)
        assert parse(score) == MetricName(MetricKind.TASK, of, metric, branch)
        assert parse(names.control_of(score)) == MetricName(MetricKind.TASK, of, metric, branch, control=True)


@pytest.mark.parametrize("label", ["held_out", "held_out_2", "held_outer", "collapse", "baseline", "evaluation", "masked"])
def test_a_label_may_begin_as_a_prefix_does(label):
    row = {"step": 1, "loss": 3.0, names.loss_metric(label, "loss"): 1.0, names.validation_metric(label, "loss"): 2.0}
    assert names.training_losses(row) == {label: 1.0}
    assert names.validation_losses(row) == {label: 2.0}


def literals(path):
    """Every string in the code of a module, those in f-strings among them, without its docstrings."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation)
    return [node.value for node in nodes if isinstance(node.value, str)]


def test_no_other_module_builds_or_parses_a_name():
    found = [
        f"{path.relative_to(SOURCE)}: {text!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != SOURCE / "metrics" / "names.py"
        for text in literals(path)
        if BY_HAND.fullmatch(text) and OTHER_MEANINGS.get(str(path.relative_to(SOURCE))) != text
    ]
    assert not found, "use findna_kit.metrics.names"
