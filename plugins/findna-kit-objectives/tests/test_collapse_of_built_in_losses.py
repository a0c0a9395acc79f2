"""Collapse on planted structure: the kit's own losses without a teacher collapse only without the term that prevents it.

They are tested here, beside the planted genome. Each test trains through the command line and reads metrics.jsonl.
"""

import pytest
from planted import late, train


@pytest.fixture
def trained(tmp_path):
    """Runs on the planted genome with one loss; its rows."""

    def run(loss):
        return train(tmp_path, f"losses.agree={{{loss}, hidden: 32, output: 16, slices: 64}}")

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigreg", "visreg"])
def test_it_keeps_its_projections_apart(trained, name):
    rows = trained(f"name: {name}")
    assert late(rows, "agree/deviation") > 0.5
    assert late(rows, "collapse/student/pooled_deviation", 1) > 0.1
    assert late(rows, "agree/invariance") < 0.5 * late(rows, "agree/deviation") ** 2, "and views of a window agree"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigreg", "visreg"])
def test_without_its_regulariser_it_is_constant(trained, name):
    rows = trained(f"name: {name}, regularization: 0")
    assert late(rows, "agree/deviation") < 0.05
    assert late(rows, "agree/loss") < 0.01, "which costs nothing"
