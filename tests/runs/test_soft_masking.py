"""A genome without lower case is reported to a run that weighs repeats, and to no other."""

import numpy as np
import pytest

from findna_kit.assemble import assemble
from findna_kit.data.genomes import open_genomes
from findna_kit.runs.soft_masking import missing_soft_masking
from tests.building import small


def write(path, *, lower):
    bases = "".join("ACGT"[base] for base in np.random.default_rng(0).integers(0, 4, 30_000))
    path.write_text(f">one\n{bases[:20_000]}{bases[20_000:].lower() if lower else bases[20_000:]}\n")
    return path


@pytest.mark.parametrize(("weight", "lower", "reported"), [(0.1, False, True), (0.1, True, False), (1.0, False, False)])
def test_a_genome_without_lower_case_is_reported(tmp_path, weight, lower, reported):
    path = write(tmp_path / "genome.fa", lower=lower)
    recipe, *_ = small("masked_only", f"data.genome={path}", f"views.masked.mask.repeat_weight={weight}")
    lines = missing_soft_masking(assemble(recipe), open_genomes(recipe.data, recipe.seed))
    assert len(lines) == reported
    for line in lines:
        assert line.startswith(f"{path}: no base is lower case (soft-masked), so views.masked.mask treats repeats as")
