"""docs/runs.md: statuses and metrics are those of the code."""

import re

from findna_kit.records.listing import STATUSES
from findna_kit.records.selection import _ON_VALIDATION
from tests.pages import page

PAGE = page("runs.md")


def test_every_status_is_told():
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| status |")]
    assert set(re.findall(r"`(\w+)`", row)) == set(STATUSES)


def test_what_may_choose_is_told():
    assert all(f"`{name}...`" in PAGE for name in _ON_VALIDATION)
