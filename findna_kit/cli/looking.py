"""Commands that look: check, show, components, plugins, genome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table
from findna_kit.errors import UnknownComponent, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins.entry_points import PluginSource


def check(source: str, overrides: Sequence[str], without: Sequence[str]) -> None:
    """Validates, assembles without memory, looks whether the files are there, and reads the tasks."""
    recipe, _, _ = loading.load(source, overrides, without)
    experiment = loading.examine(recipe)
    encoder = sum(parameter.numel() for parameter in experiment.student.encoder.parameters())
    trained = sum(parameter.numel() for parameter in experiment.trainable().values())
    print(f"{recipe.name}: good; {encoder:,} parameters in the encoder, {trained:,} trained in all")


def show(source: str, overrides: Sequence[str], without: Sequence[str]) -> None:
    """The resolved recipe."""
    print(loading.load(source, overrides, without)[0].dump(), end="")


def components(what: str | None, without: Sequence[str], *, as_json: bool) -> None:
    """All components, those of a kind, or one with its parameters."""
    from findna_kit.cli.parameters import parameters
    from findna_kit.plugins.loading import load_plugins

    loaded, plugins = load_plugins(without)
    loading.say_failures(plugins)
    registries = {registry.kind: registry for registry in loaded.registries()}
    chosen = [(kind, name) for kind, registry in registries.items() for name in registry if what in (None, kind, name)]
    if not chosen:
        names = [*registries, *(name for registry in registries.values() for name in registry)]
        raise UnknownComponent(
            f"no kind or component is called {what!r}{nearest(str(what), names)} (kinds: {', '.join(registries)})"
        )
    described = [_described(kind, name, registries[kind].owners(name)) for kind, name in chosen]
    single = what is not None and what not in registries
    for entry, (kind, name) in zip(described, chosen, strict=True):
        if len(registries[kind].owners(name)) == 1:
            component = registries[kind][name]
            entry["does"] = (component.__doc__ or "").strip().partition("\n")[0]
            if single or as_json:
                entry["parameters"] = parameters(component.Config)
    if as_json:
        print(json.dumps(described, indent=1))
        return
    table(
        [
            ["kind", "name", "from", "what it does"],
            *([e["kind"], e["name"], e["from"], e.get("does", "claimed twice")] for e in described),
        ]
    )
    for entry in described:
        if single and entry.get("parameters"):
            table(
                [
                    ["parameter", "type", "default", "meaning"],
                    *([p[k] for k in ("name", "type", "default", "meaning")] for p in entry["parameters"]),
                ]
            )
        elif single:
            print("It has no parameters.")


def _described(kind: str, name: str, owners: Sequence[PluginSource]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "from": " and ".join(f"{owner.distribution} {owner.version}" for owner in owners)}


def plugins(*, as_json: bool) -> None:
    """Every installed plugin, and what it brings beside components."""
    from findna_kit.plugins.entry_points import GROUP_LABELS, PLUGINS_ENV, installed, unknown_names

    offers = installed()
    for problem in unknown_names(offers):
        loading.say(problem)
    found: list[dict[str, Any]] = [
        {
            "plugin": offer.owner.plugin, "distribution": offer.owner.distribution, "version": offer.owner.version,
            "module": offer.entry.value, "brings": GROUP_LABELS[offer.group], "enabled": offer.enabled,
        }
        for offer in offers
    ]  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=1))
        return
    rows = [[*map(str, entry.values())][:-1] + ([] if entry["enabled"] else [f"left out by {PLUGINS_ENV}"]) for entry in found]
    everything = all(entry["enabled"] for entry in found)
    table([["plugin", "distribution", "version", "module", "brings", *([] if everything else [""])], *rows])


def genome(fasta: str, *, length: int, max_unknown: float, as_json: bool) -> None:
    """The report of a FASTA."""
    from findna_kit.data.genome import builtin_genome, genome_report, open_store

    with reading_bar() as reading:
        store = open_store(builtin_genome() if fasta == "builtin" else Path(fasta), report=reading)
    report = genome_report(store, length=length, max_unknown=max_unknown)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    rows = [_contig_row(contig) for contig in (*report["contigs"], {"name": "all", **report["total"]})]
    table([["contig", "bases", "N", "lower case", "GC of A C G T"], *rows])
    windows = report["windows"]
    print(f"\nwindows of {length}: {windows['inside_contigs']:,} starts inside contigs")
    print(f"with at most {max_unknown:g} of N: {windows['known_enough']:,}")
    for letter, count in report["other_letters"].items():
        print(f"letter {letter}: {count:,}, read as N")


def _contig_row(contig: dict[str, Any]) -> list[str]:
    gc = "-" if contig["gc"] is None else f"{contig['gc']:.1%}"
    return [contig["name"], f"{contig['length']:,}", f"{contig['unknown']:,}", f"{contig['soft_masked']:.1%}", gc]
