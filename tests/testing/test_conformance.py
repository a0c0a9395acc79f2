"""Tests of which checks are run, in what order, and that the documentation lists them."""

import re

import pytest

from findna_kit.components.interfaces import ComponentConfig, TeacherUpdate
from findna_kit.errors import FindnaError
from findna_kit.plugins.kinds import KINDS
from findna_kit.testing import Nonconforming, check_teacher_update
from findna_kit.testing.conformance import build_cases, checks_of, planned_checks
from findna_kit.testing.packages import conformances
from tests.building import ROOT

PAGE = (ROOT / "docs" / "test-a-plugin.md").read_text()
HEADINGS = {
    "encoder": "Encoders", "augmentation": "Augmentations", "masking": "Maskings", "loss": "Losses",
    "teacher_update": "Teacher updates", "optimizer": "Optimizers", "schedule": "Schedules",
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADINGS)
def test_the_page_lists_every_check_and_no_other(kind):
    section = PAGE.partition(f"### {HEADINGS[kind]}\n")[2].partition("\n### ")[0]
    listed = [
        name for line in section.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted(listed) == sorted(check.name for check in checks_of(kind))


@pytest.mark.parametrize("kind", HEADINGS)
def test_every_check_states_its_requirement(kind):
    assert all(re.fullmatch(r"Require that .*\.", check.requirement) for check in checks_of(kind))


def test_every_kind_of_the_table_has_checks():
    assert {kind.name for kind in KINDS if kind.check} == set(HEADINGS) == {kind.name for kind in KINDS}


class Two(TeacherUpdate):
    class Config(ComponentConfig):
        pass

    examples = ()

    def __call__(self, teacher, student, clock, metrics):
        return {}


def test_what_runs_once_runs_for_the_first_example():
    family = [{}, {"a": 1}]
    Two.examples = tuple(family)
    names = [(case.parameters, check.name) for case, check in planned_checks(build_cases("loss", Two))]
    Two.examples = ()
    assert [parameters for parameters, name in names if name == "processes"] == [{}]
    assert [parameters for parameters, name in names if name == "sums"] == family


def test_a_class_without_examples_needs_parameters():
    with pytest.raises(Nonconforming, match="teacher_update Two has no examples: pass the parameters of a small instance"):
        check_teacher_update(Two)


def test_a_package_by_either_name():
    assert [str(one) for one in conformances("example")] == [str(one) for one in conformances("Findna_Kit.Example")]
    with pytest.raises(FindnaError, match="is called 'nobody'"):
        conformances("nobody")
