"""Every code block on every page is run or read by a test: the list of those tests, and tests of the other blocks."""

import inspect
import re
import shlex
import tomllib

import pytest

import benchmarks.__main__ as benchmarks
from findna_kit.components.interfaces import Loss
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.study.load import build_cells, load_study
from findna_kit.testing import pytest_plugin
from tests.building import ROOT
from tests.installing import findna
from tests.pages import blocks, words_of
from tests.test_docs import PAGES, followed
from tests.testing.test_pytest_plugin import TEST
from tests.variants import made

HERE = "tests/test_code_blocks.py"
DONE_BY = {
    "CONTRIBUTING.md": {"sh": HERE},
    "README.md": {"bash": HERE, "python": "tests/api/test_python_page.py"},
    "docs/architecture.md": {"mermaid": "tests/test_architecture.py", "python": "tests/test_adding.py"},
    "docs/audit-tasks.md": {"bash": "tests/test_tasks_guide.py", "sh": HERE},
    "docs/benchmarks.md": {"bash": HERE},
    "docs/cluster.md": {"sh": "tests/slurm/test_requeue.py"},
    "docs/compare-objectives.md": {"sh": HERE, "yaml": "tests/study/test_guide.py"},
    "docs/component-contracts.md": {"python": "tests/test_plugin_guide.py"},
    "docs/embed.md": {"bash": "tests/cli/test_embed.py", "python": "tests/cli/test_embed.py"},
    "docs/evaluate.md": {"bash": HERE, "yaml": HERE},
    "docs/export.md": dict.fromkeys(("sh", "python", "yaml"), "tests/test_exchange_guides.py"),
    "docs/fine-tune.md": {"bash": HERE, "python": "tests/finetuned/test_finetuned.py"},
    "docs/installation.md": {"sh": HERE},
    "docs/interpret.md": dict.fromkeys(("sh", "python"), "tests/inference/embedding/test_interpret_page.py"),
    "docs/methods.md": {"sh": HERE, "yaml": "tests/test_reference.py"},
    "docs/plan.md": {"sh": HERE},
    "docs/plugin-extras.md": {"python": "tests/test_plugins_page.py", "toml": "tests/test_plugins_page.py"},
    "docs/pretrain.md": {"sh": HERE, "yaml": "tests/test_recipe_guide.py"},
    "docs/python.md": {"bash": "tests/api/test_python_page.py", "python": "tests/api/test_python_page.py"},
    "docs/quickstart.md": {"sh": HERE, "python": HERE},
    "docs/reference/python.md": {"python": "tests/test_reference.py"},
    "docs/report.md": {"sh": HERE},
    "docs/results.md": {"text": HERE, "yaml": HERE},
    "docs/runs.md": {"sh": HERE},
    "docs/score-variants.md": {"sh": "tests/test_exchange_guides.py", "text": "tests/test_exchange_guides.py"},
    "docs/slurm-studies.md": {"sh": HERE},
    "docs/tasks.md": dict.fromkeys(("bash", "yaml", "text"), "tests/test_tasks_guide.py"),
    "docs/test-a-plugin.md": dict.fromkeys(("sh", "python", "toml"), HERE),
    "docs/training.md": {"sh": HERE, "yaml": "tests/test_recipe_guide.py"},
    "docs/tune.md": {"sh": HERE, "yaml": "tests/study/test_guide.py"},
    "docs/tutorials/first-ablation.md": dict.fromkeys(("sh", "python", "text", "yaml"), "tests/test_tutorials.py"),
    "docs/tutorials/first-recipe.md": dict.fromkeys(("sh", "python", "text", "yaml"), "tests/test_tutorials.py"),
    "docs/use-plugins.md": {"sh": HERE},
    "docs/views.md": {"sh": HERE, "text": "tests/cli/test_views.py"},
    "docs/write-a-plugin.md": dict.fromkeys(("sh", "python", "toml", "yaml"), "tests/test_plugin_guide.py"),
}
"""The test of each block, by page and language. A `text` block is output, or a file that commands on the page read."""
SHELL = ("sh", "bash")
COMMANDS = [
    (page, line)
    for page, text in PAGES.items()
    for language, body in blocks(text)
    if language in SHELL or (page, language) == ("docs/results.md", "text")
    for line in body.replace("\\\n", " ").splitlines()
    if line.lstrip().startswith("findna-kit ")
]


def test_no_block_is_on_its_own():
    found = {page: {language for language, _ in blocks(text)} for page, text in PAGES.items()}
    assert {page: languages for page, languages in found.items() if languages} == {
        page: set(languages) for page, languages in DONE_BY.items()
    }
    fenced = {page: len(re.findall("^ *```[a-z]", text, re.MULTILINE)) for page, text in PAGES.items()}
    assert fenced == {page: len(blocks(text)) for page, text in PAGES.items()}, "a block that no test would find"


@pytest.mark.parametrize("page", DONE_BY)
def test_the_test_knows_the_page(page):
    for test in set(DONE_BY[page].values()):
        text = (ROOT / test).read_text()
        name = page.removesuffix(".md").rpartition("/")[2]
        assert name in text or f'"{name}"' in text


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda part: str(part)[:60])
def test_a_command_has_the_words_that_it_takes(page, line):
    """Parse it as the command line does: all arguments present, every value of its type. Nothing is run."""
    words = shlex.split(line, comments=True)[1:]
    command, names = followed(words)
    with command.make_context(" ".join(names), words[len(names) :]) as context:
        assert context.command.name == command.name


def test_there_are_commands():
    assert len(COMMANDS) > 40
    assert {page for page, _ in COMMANDS} >= {"README.md", "docs/evaluate.md", "docs/results.md", "docs/use-plugins.md"}


def test_the_make_targets_exist():
    targets = set(re.findall(r"^([\w./]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for text in PAGES.values() for name in re.findall(r"(?:^|`)make ([\w./]+)", text, re.MULTILINE)}
    assert named >= {"run", "check", "docs", "reference"}
    assert named <= targets


def test_the_first_python_example_runs(tmp_path, monkeypatch, capsys):
    made(tmp_path / "runs" / "self_distill-1", "self_distill")
    monkeypatch.chdir(tmp_path)
    ((_, example),) = blocks(PAGES["docs/quickstart.md"], "python")
    names = {}
    exec(example, names)
    assert names["embeddings"].shape == (2, names["model"].dim)


def test_looks_while_a_run_goes_on_are_a_recipe(tmp_path):
    ((_, text),) = blocks(PAGES["docs/evaluate.md"], "yaml")
    (tmp_path / "recipe.yaml").write_text(f"name: looks\n{text}")
    assert load_recipe(tmp_path / "recipe.yaml", load_plugins()[0]).evaluation.every == 200


def test_the_study_of_the_results_is_one_and_the_report_has_their_numbers(tmp_path):
    """With what is in the package in place of the genome and the tasks, which users have elsewhere."""
    page = PAGES["docs/results.md"]
    ((_, text),) = blocks(page, "yaml")
    here = text.replace("sacCer3.fa.gz", "builtin")
    (tmp_path / "study.yaml").write_text(re.sub(r"^tasks: .*$", "tasks: [builtin]", here, flags=re.MULTILINE))
    stated = load_study(str(tmp_path / "study.yaml"))
    cells = build_cells(stated, load_plugins()[0], [], lambda recipe: None)
    assert (len(cells), {one.recipe.steps for one in cells}) == (32, {0, 200})
    section = page.partition("## Self-distillation on the yeast genome")[0]
    numbers = re.findall(r"[-+]?\d\.\d{3} \[[-+]?\d\.\d{3}, [-+]?\d\.\d{3}\](?= \|)", section)
    report = (ROOT / "docs" / "results" / "objectives-yeast.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert len(numbers) == 4 * 4 + 3 + 3 * 4
    assert [number for number in numbers if number not in report] == []


def test_a_method_is_checked_by_its_name(tmp_path):
    ((_, script),) = blocks(PAGES["docs/methods.md"], "sh")
    (words,) = words_of(script, tmp_path)
    code, out, err = findna(*words)
    assert (code, out.partition(";")[0]) == (0, "byol: valid"), err


def test_conformance_is_asked_for_as_it_is_shown():
    text = PAGES["docs/test-a-plugin.md"]
    one, every, examples = (body for _, body in blocks(text, "python"))
    names = {"Loss": Loss}
    exec(one + every + examples, names)
    names["test_conforms"]()
    assert every == TEST, "which tests/testing/test_pytest_plugin.py runs"
    assert {"head", "hidden"} <= set(names["MyLoss"].examples[1])
    ((_, settings),) = blocks(text, "toml")
    (key,) = tomllib.loads(settings)["tool"]["pytest"]["ini_options"]
    assert f'"{key}"' in inspect.getsource(pytest_plugin)


def test_benchmarks_take_the_options_that_are_shown():
    ((_, script),) = blocks(PAGES["docs/benchmarks.md"], "bash")
    lines = [shlex.split(line, comments=True) for line in script.splitlines()]
    assert [words[:3] for words in lines] == [["python", "-m", "benchmarks"]] * 3
    assert [benchmarks._arguments(words[3:]).check for words in lines] == [False, False, True]
