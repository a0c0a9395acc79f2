"""Tests of the fixture `conformance` as a plugin author uses it."""

import subprocess
import sys

import pytest

from findna_kit.testing.packages import conformances

pytest_plugins = ["pytester"]
TEST = "def test_conformance(conformance):\n    conformance.check()\n"


@pytest.fixture
def author(pytester):
    """An author's project with the one test; runs it with these options."""
    pytester.makepyfile(test_conformance=TEST)

    def run(*options):
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


def test_there_is_a_test_for_each_check_of_each_component(author):
    result = author("-o", "findna_kit_plugin=example", "--collect-only", "-q")
    listed = [line.partition("[")[2].rstrip("]") for line in result.outlines if "::" in line]
    assert listed == [str(one) for one in conformances("example")]
    assert {"encoder-depthwise_conv-padding", "loss-pooled_agreement-processes"} <= set(listed)


def test_they_pass_where_the_plugin_conforms(author):
    author("-o", "findna_kit_plugin=example", "-k", "encoder and (shapes or padding)").assert_outcomes(passed=2, deselected=24)


def test_without_the_option_it_says_what_to_set(author):
    result = author()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ['*needs the name of a plugin: set findna_kit_plugin = "my_plugin"*in ?tool.pytest.ini_options?*']
    )


def test_of_a_plugin_that_is_not_there_it_says_the_nearest(author):
    result = author("-o", "findna_kit_plugin=exampel")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no installed plugin or distribution is called 'exampel'; did you mean 'example'?*"])


def test_tests_without_the_fixture_need_no_option(pytester):
    pytester.makepyfile("def test_other():\n    pass\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_component_without_examples_is_skipped_in_words(author):
    result = author("-o", "findna_kit_plugin=teachers", "-k", "no_examples", "-rs")
    assert result.parseoutcomes().get("skipped", 0) >= 1
    result.stdout.fnmatch_lines(["*teacher_update external has no `examples`: test it with check_teacher_update*"])


def test_the_plugin_comes_without_torch():
    """It is imported in every session of the environment."""
    code = "import findna_kit.testing.pytest_plugin, sys; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
