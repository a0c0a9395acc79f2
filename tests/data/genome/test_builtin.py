from __future__ import annotations

import torch

from findna_kit.data.genome import Regions, WindowSampler, builtin_genome, builtin_regions, genome_report, open_store, split


def test_builtin_genome_and_its_parts():
    store = open_store(builtin_genome())
    assert [(contig.name, contig.length) for contig in store.contigs] == [("chr2R_2000000_7000000", 5_000_000)]
    total = genome_report(store, length=512, max_unknown=0.1)["total"]
    assert 0 < total["soft_masked"] < 0.5
    assert 0.4 < total["gc"] < 0.5

    parts = builtin_regions(store)
    assert sorted(parts) == ["test", "validation"]
    halves = split(store, "auto", length=512, seed=7, excluded=parts["test"], default=parts["validation"])
    assert halves.validation == parts["validation"]
    assert halves.train.union(parts["test"]).union(parts["validation"]) == Regions.whole(store)
    assert not halves.train.intersect(parts["test"]).bases

    windows = WindowSampler(store, halves.train, length=512, max_unknown=0.1, seed=7, purpose="training")
    view = windows.draw(0, torch.arange(256))
    for part in parts.values():
        for start, end in zip(part.start.tolist(), part.end.tolist(), strict=True):
            assert not ((view.start < end) & (view.start + 512 > start)).any()
