"""The command that scores variants."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table

if TYPE_CHECKING:
    from pathlib import Path

    from findna_kit.inference.variants import VariantRequest

_SECONDS_APART = 10.0


def variants(run: Path, vcf: Path, out: Path, asked: VariantRequest, *, overwrite: bool, as_json: bool) -> None:
    """Scores, and prints how many ALTs have which status."""
    from findna_kit.inference.variants import STATUSES, score_variants

    with reading_bar() as reading:
        result = score_variants(
            run, vcf, out, asked, overwrite=overwrite, log=loading.say, reading=reading, progress=_Progress()
        )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=1))
        return
    counts = result["statuses"]
    table([["status", "alleles", "meaning"], *([name, f"{count:,}", STATUSES[name]] for name, count in counts.items())])
    of_run = f"{result['branch']} at step {result['step']}, {result['precision']}"
    print(f"\n{out}: {result['alleles']:,} alleles in {result['lines']:,} lines; {of_run}, windows of {result['length']}")


class _Progress:
    """A line now and then."""

    def __init__(self) -> None:
        self._spoke = time.monotonic()

    def __call__(self, done: int, lines: int) -> None:
        if time.monotonic() - self._spoke > _SECONDS_APART:
            self._spoke = time.monotonic()
            loading.say(f"scored {done:,} of {lines:,} lines")
