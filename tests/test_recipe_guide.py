"""docs/pretrain.md and docs/training.md: every example is a recipe that loads and assembles."""

import re

import pytest

from findna_kit.assemble import assemble
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from tests.building import ROOT

TEXT = "".join((ROOT / "docs" / name).read_text() for name in ("pretrain.md", "training.md"))
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: re.search("^name: (.*)$", text, re.MULTILINE)[1])
def test_an_example_loads_and_assembles(text, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = load_recipe(tmp_path / "recipe.yaml", load_plugins()[0])
    experiment = assemble(recipe, device="meta")
    if recipe.name == "multi_crop":
        names = [pipeline.name for pipeline in experiment.pipelines]
        assert names == ["masked.1", "masked.2", "local.1", "local.2", "local.3", "local.4"]


def test_there_are_examples():
    assert len(EXAMPLES) == 9
