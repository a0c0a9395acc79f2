"""docs/runs.md and docs/metrics.md: statuses and names of metrics are those of the code."""

import re

from findna_kit.metrics import names
from findna_kit.records.listing import STATUSES
from tests.pages import page

PAGE = page("runs.md")


def test_every_status_is_on_the_page():
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| status |")]
    assert set(re.findall(r"`(\w+)`", row)) == set(STATUSES)


def test_every_metric_that_may_select_is_on_the_page():
    prefixes = (names.VALIDATION, names.PLAIN_VALIDATION, names.COLLAPSE, names.TASK)
    assert [prefix for prefix in prefixes if f"`{prefix}...`" not in PAGE] == []


def test_every_kind_of_metric_is_on_its_page():
    prefixes = (names.VALIDATION, names.PLAIN_VALIDATION, names.COLLAPSE, names.BASELINE, names.TASK)
    assert [prefix for prefix in prefixes if f"`{prefix}" not in page("metrics.md")] == []
