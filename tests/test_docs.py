"""README and docs: commands and options exist, every command is documented, links work, pages say what they are for."""

import re
import shlex

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

import findna_kit
from findna_kit.cli.app import app
from findna_kit.evaluation.finetuning.settings import FinetuneSettings
from findna_kit.settings import EvaluationSettings, TrainerSettings
from tests.building import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
CALL = re.compile(r"(?:^|`)findna-kit ([a-z][^`\n]*)", re.MULTILINE)
"""A command in backticks, or at the start of a line of a block."""
GENERATED = ("docs/reference/", "docs/methods.md")
OPENINGS = ("After this page", "After this tutorial", "In about a quarter of an hour", "Look up")
TERMS = (
    "view", "origin", "coupling", "collapse", "RankMe", "soft-masking", "EMA", "teacher", "centring", "prototypes", "probe",
    "control", "window", "contig", "token", "step", "micro-batch", "gradient cache", "study", "cell", "validation loss",
    "baseline", "leakage", "zero-shot", "recipe", "component", "plugin", "pooling", "class token",
)  # fmt: skip


def calls(text):
    return [shlex.split(found, comments=True) for found in CALL.findall(text)]


def followed(words):
    """The command that the words lead to, with the names of those that it stands below."""
    command, names = get_command(app), []
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
        names.append(word)
    return command, names


def commands(command, *names):
    if not hasattr(command, "commands"):
        yield " ".join(names)
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *names, name)


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" not in page])
def test_its_commands_and_options_are_there(page):
    for words in calls(PAGES[page]):
        command, names = followed(words)
        assert names, f"findna-kit {' '.join(words)}"
        # The group holds commands that are imported late; `.command` is the one with the options.
        known = {"--help", *(option for each in getattr(command, "command", command).params for option in each.opts)}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= known, f"findna-kit {' '.join(words)}"


def test_every_command_is_named():
    named = {" ".join(followed(words)[1]) for text in PAGES.values() for words in calls(text)}
    alone = {name: name.rpartition(" ")[0] for name in commands(get_command(app)) if name.endswith(" list")}
    missing = {name for name in commands(get_command(app)) if name not in named and alone.get(name) not in named}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        if not re.match("[a-z]+:", target):
            assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("term", TERMS)
def test_the_glossary_has_the_term(term):
    headings = re.findall(r"^### (.*)$", PAGES["docs/glossary.md"], re.MULTILINE)
    assert any(term.lower() in heading.lower() for heading in headings)


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_a_page_says_what_the_reader_can_do_afterwards(page):
    if page.startswith(GENERATED) or "decisions/" in page or page in ("docs/index.md", "docs/architecture.md"):
        return
    _, opening, *_ = [line for line in PAGES[page].splitlines() if line]
    assert opening.startswith(OPENINGS), page


def test_every_setting_of_the_trainer_is_on_a_page():
    text = PAGES["docs/training.md"] + PAGES["docs/cluster.md"] + PAGES["docs/evaluate.md"]
    assert [name for name in TrainerSettings.model_fields if f"trainer.{name}" not in text] == []
    assert [name for name in EvaluationSettings.model_fields if name not in text] == []


def test_every_setting_of_fine_tuning_is_on_its_page():
    assert [name for name in FinetuneSettings.model_fields if f"`{name}`" not in PAGES["docs/fine-tune.md"]] == []


def test_every_decision_is_in_the_list():
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", PAGES["docs/decisions/README.md"])
    assert listed == sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))


def test_the_citation_names_this_version():
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["version"] == findna_kit.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
