"""The command plugins doctor: every plugin imported in a process of its own, with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command

from findna_kit.cli import loading
from findna_kit.cli.examining import identity
from findna_kit.errors import FindnaError, nearest
from findna_kit.plugins.entry_points import COMMANDS, COMPONENTS, GROUP_LABELS, KIT, PLUGINS_ENV, installed, unknown_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from findna_kit.plugins.entry_points import PluginEntry, PluginSource

FOUND_SOMETHING = 3
_LINES_SHOWN = 8
_GRACE = 2.0
"""Seconds beyond the limit in which the process may say where it hangs."""
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; from findna_kit.cli.examining import main; main()"


def doctor(names: Sequence[str], seconds: float, *, as_json: bool) -> None:
    """What each plugin brings, or why it is broken, and names claimed twice. Exit code 3 if there is either.

    names: of plugins or distributions, looked at beside the built-ins; none: all. FindnaError for one that nobody has.
    """
    everything = installed()
    offers = _asked_for(names, everything)
    loading.say(f"importing {len(offers)}, each in a process of its own and for at most {seconds:g} s")
    found = [_Diagnosis(offer, result) for offer, result in zip(offers, _examined(offers, seconds), strict=True)]
    clashes, unknown = list(_clashes(found)), unknown_names(everything)
    broken = [one for one in found if one.result["failure"] is not None]
    if as_json:
        told = {"plugins": [one.plain() for one in found], "clashes": clashes, "unknown": unknown}
        print(json.dumps(told, indent=1))
    else:
        for line in [*(line for one in found for line in one.lines()), *(clash["said"] for clash in clashes), *unknown]:
            print(line)
        twice = f"{len(clashes)} name{'s are' if len(clashes) != 1 else ' is'} claimed twice"
        print(f"\n{len(found)} looked at: {len(broken)} broken, {twice}")
    if broken or clashes or unknown:
        raise typer.Exit(FOUND_SOMETHING)


def _asked_for(names: Sequence[str], offers: Sequence[PluginEntry]) -> list[PluginEntry]:
    known = {name for offer in offers for name in (offer.owner.plugin, offer.owner.distribution)}
    for name in names:
        if name not in known:
            raise FindnaError(f"no plugin is called {name!r}{nearest(name, known)} (findna-kit plugins list shows all)")
    asked = [offer for offer in offers if not names or {offer.owner.plugin, offer.owner.distribution} & set(names)]
    if any(offer.group == COMPONENTS for offer in asked):  # whose names may be those of built-ins
        asked = [*(offer for offer in offers if offer.owner.is_builtin and offer not in asked), *asked]
    return asked


@dataclass(frozen=True)
class _Diagnosis:
    """An offer, and what its own process found."""

    offer: PluginEntry
    result: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        owner = self.offer.owner
        return {
            "plugin": owner.plugin, "distribution": owner.distribution, "version": owner.version,
            "module": self.offer.entry.value, "group": self.offer.group, "enabled": self.offer.enabled, **self.result,
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Who it is; then what it brings, or its reason and the end of its traceback."""
        version = "" if self.result["api"] is None else f", interface {self.result['api']}"
        failed = self.result["failure"] is not None
        yield f"{self.offer.owner}: {GROUP_LABELS[self.offer.group]}{version}{', BROKEN' if failed else ''}"
        if not self.offer.enabled:
            yield f"  left out by {PLUGINS_ENV}; looked at all the same"
        if not failed:
            yield from (f"  {kind}: {', '.join(names)}" for kind, names in self.result["brings"].items())
            return
        yield f"  {' '.join(self.result['failure'].split())}"
        shown = (self.result["trace"] or self.result["output"]).splitlines()[-_LINES_SHOWN:]
        yield from (f"  | {line}" for line in shown)


def _examined(offers: Sequence[PluginEntry], seconds: float) -> list[dict[str, Any]]:
    """The result of each offer, in order; as many at once as there are processors."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = [_Child(offer, Path(folder), str(number), seconds) for number, offer in enumerate(offers)]
        children, running = list(waiting), list[_Child]()
        try:
            while waiting or running:
                while waiting and len(running) < (os.cpu_count() or 1):
                    running.append(waiting.pop(0))
                    running[-1].start()
                running = [child for child in running if not child.has_ended()]
                time.sleep(0.01)
        finally:
            for child in running:
                child.kill()
        return [child.result() for child in children]


class _Child:
    """The process that examines one offer."""

    def __init__(self, offer: PluginEntry, folder: Path, name: str, seconds: float) -> None:
        self._offer, self._seconds = offer, seconds
        self._result, self._output = folder / f"{name}.json", folder / f"{name}.txt"
        self._process: subprocess.Popen[bytes]
        self._until = 0.0
        self._hung = False

    def start(self) -> None:
        """Its modules come from where this process finds them; what it prints goes to a file, which it cannot block."""
        asked = {"path": sys.path, "offer": identity(self._offer), "seconds": self._seconds, "result": str(self._result)}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and words of ours
                [sys.executable, "-P", "-c", _CHILD, json.dumps(asked)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._until = time.monotonic() + self._seconds + _GRACE

    def has_ended(self) -> bool:
        """Whether it has; at the limit it is made to."""
        if self._process.poll() is None and time.monotonic() > self._until:
            self._hung = True
            self.kill()
        return self._process.poll() is not None

    def kill(self) -> None:
        """With whatever it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def result(self) -> dict[str, Any]:
        """What it found; where it did not live to tell, why."""
        found: dict[str, Any] = {"api": None, "brings": {}, "failure": None, "trace": None}
        ended = self._how_it_ended()
        if self._result.is_file():
            found = json.loads(self._result.read_text(encoding="utf-8"))
            ended = ended and f"could be imported, but then {ended}"
        elif ended is None:
            ended = "ended Python while it was imported, with exit code 0"
        output = self._output.read_text(encoding="utf-8", errors="replace")
        return {**found, "failure": found["failure"] or ended, "output": output}

    def _how_it_ended(self) -> str | None:
        code = self._process.returncode
        if self._hung:
            return f"had not come to an end after {self._seconds:g} s"
        if code < 0:
            return f"the process was killed by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}" if code else None


def _clashes(found: Sequence[_Diagnosis]) -> Iterator[dict[str, Any]]:
    """Every name that two claim: of a plugin, of a component, of a command, of a reporter, of a folder of recipes."""
    claims: dict[tuple[str, str], list[PluginSource]] = {}
    for one in found:
        owner, group = one.offer.owner, one.offer.group
        claims.setdefault(("plugin" if group == COMPONENTS else GROUP_LABELS[group], owner.plugin), []).append(owner)
        for kind, names in one.result["brings"].items() if group == COMPONENTS else ():
            for name in names:
                claims.setdefault((kind, name), []).append(owner)
    own = _own_commands()
    for (kind, name), owners in claims.items():
        said = f"{kind} {name!r} is claimed by {' and '.join(map(str, owners))}"
        if kind == GROUP_LABELS[COMMANDS] and name in own:
            said += f"; {KIT} has a command of that name, and its own is the one that is called"
        elif len(owners) == 1:
            continue
        elif kind == "plugin" or kind in GROUP_LABELS.values():
            said += "; uninstall one"
        else:
            said += f"; leave one out with --without {owners[-1].plugin}"
        yield {"kind": kind, "name": name, "owners": [asdict(owner) for owner in owners], "said": said}


def _own_commands() -> set[str]:
    from findna_kit.cli.app import app

    return set(getattr(get_command(app), "commands", {}))
