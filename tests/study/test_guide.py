"""The pages about studies: a valid example, every key and every shipped study, and the numbers of the code."""

import re

from findna_kit.evaluation.scores import SCORES
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe.shipped import shipped_studies
from findna_kit.study.load import build_cells, load_study, with_values
from findna_kit.study.sampler import RANDOM_TRIALS
from findna_kit.study.schema import PROTOCOLS, Budget, Study
from findna_kit.study.search_space import DEFAULT_BATCH, Search, SearchRange
from findna_kit.study.statistics import MIN_SEEDS, smallest_family_p
from tests.pages import blocks, page

PAGE, KEYS, TUNE, STATISTICS = (page(f"{name}.md") for name in ("compare-objectives", "study-file", "tune", "statistics"))


def test_its_study_is_good(tmp_path):
    ((_, text),) = blocks(PAGE, "yaml")
    (_, search), _ = blocks(TUNE, "yaml")
    (tmp_path / "mine.yaml").write_text(text + search)
    stated = load_study(str(tmp_path / "mine.yaml"))
    cells = build_cells(with_values(stated, stated.study.search.midpoint), load_plugins()[0], [], lambda recipe: None)
    assert list(dict.fromkeys(cell.condition for cell in cells)) == [
        "reference", "objective-masked", "objective-none", "encoder-chordmixer",
    ]  # fmt: skip
    assert stated.study.model_fields_set == set(Study.model_fields), "it shows every key"


def test_its_study_of_settings_is_good_and_reads_no_test_split(tmp_path):
    _, (_, text) = blocks(TUNE, "yaml")
    (tmp_path / "tune-weight.yaml").write_text(text)
    stated = load_study(str(tmp_path / "tune-weight.yaml"))
    cells = build_cells(stated, load_plugins()[0], [], lambda recipe: None)
    assert [cell.recipe.losses["distill"].weight.config.value for cell in cells if cell.seed == 100] == [0.1, 0.3, 1.0]
    assert stated.study.tasks == ("builtin@validation",)


def test_every_key_is_in_its_table_and_no_other():
    table = KEYS.partition("| --- | --- |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Study.model_fields)
    assert all(f"{{{name}: N}}" in table for name in Budget.model_fields)
    (metric,) = [line for line in table.splitlines() if line.startswith("| `metric`")]
    assert all(f"`{name}`" in metric for name in (*PROTOCOLS, *SCORES))


def test_every_key_of_a_search_is_in_its_table():
    table = TUNE.partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Search.model_fields)
    assert all(f"`{name}`" in table or name in ("low", "high", "choices") for name in SearchRange.model_fields)
    assert f"default: {DEFAULT_BATCH}. This many trials" in table
    assert (RANDOM_TRIALS, "its first ten trials are random" in table) == (10, True)


def test_every_design_is_in_its_table():
    (designs,) = (field.annotation.__args__ for name, field in Study.model_fields.items() if name == "design")
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE.partition("| design |")[2].partition("\n\n")[0], re.MULTILINE)) == set(
        designs
    )


def test_every_shipped_study_is_named():
    assert set(re.findall(r"`(ablations/\w+)`", PAGE)) == shipped_studies().keys()


def test_what_few_seeds_cannot_say():
    assert f"fewer than {MIN_SEEDS} seeds no difference can be shown" in PAGE
    assert f"fewer than {MIN_SEEDS} seeds no difference can be shown" in STATISTICS
    assert "8 seeds are enough for up to 6 comparisons" in STATISTICS
    assert smallest_family_p(8, 6, "holm") <= 0.05 < smallest_family_p(8, 7, "holm")
