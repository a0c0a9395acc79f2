"""What `findna-kit ablate` shows on a terminal while cells are run, however many there are."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from findna_kit.api.study_progress import board
from findna_kit.plugins.loading import load_plugins
from findna_kit.records.json_files import write_json
from findna_kit.study.cells import cell_folders
from findna_kit.study.files import STUDY
from findna_kit.study.load import build_cells, load_study
from tests.study.writing import write_study

CLEARED = re.compile(r"\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)*|\r(?:\x1b\[1A\x1b\[2K)+")
"""Before each drawing, and after the last, the lines of the one before."""


def on_a_terminal(*words, lines, columns):
    """The exit code of `findna-kit ...`, and every drawing in its order, as its lines."""
    own, other = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "findna_kit", *map(str, words)]
    process = subprocess.Popen(command, stdin=other, stdout=subprocess.DEVNULL, stderr=other, env=environment)
    os.close(other)
    written = bytearray()
    try:
        while part := os.read(own, 2**16):
            written += part
    except OSError:  # how Linux says that nobody has the other end open
        pass
    os.close(own)
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", one) for one in CLEARED.split(written.decode())]
    return process.wait(timeout=60), [one[one.index("32 cells: ") :].splitlines() for one in drawn if "32 cells: " in one]


def test_of_more_cells_than_lines_those_that_run_are_shown_and_then_as_finished(tmp_path):
    """The last two cells of 32 are run; all others failed before, and stand above them in the study's order."""
    levels = ", ".join(f"r{number}: {{optimizer.learning_rate: {number + 1}.0e-5}}" for number in range(16))
    study, out = write_study(tmp_path, factors=f"{{rate: {{{levels}}}}}"), tmp_path / "out"
    stated = load_study(str(study))
    out.mkdir()
    write_json(out / STUDY, stated.study.model_dump(mode="json"))
    cells = cell_folders(build_cells(stated, load_plugins()[0], [], lambda recipe: None), out, {})
    assert len(cells) == 32
    for one in cells[:-2]:
        one.folder.mkdir(parents=True)
        one.record_failure("long ago")
    code, drawn = on_a_terminal(
        "ablate", study, "--out", out, "--device", "cpu", "--jobs", 2, lines=24, columns=80
    )  # fmt: skip
    assert code == 3
    assert {len(lines) for lines in drawn} <= set(range(1, 24)), "it fits"
    for one in cells[-2:]:
        seen = [line.split()[1] for lines in drawn for line in lines if line.startswith(f"{one.cell.relative_path} ")]
        assert list(dict.fromkeys(seen)) == ["running", "finished"], "in this order, and never back"
        assert seen == sorted(seen, reverse=True)
    heads = list(dict.fromkeys(lines[0].rstrip() for lines in drawn))
    assert "32 cells: 30 failed, 2 running" in heads
    assert heads[-1] == "32 cells: 30 failed, 2 finished"
    assert [line.split()[1] for line in drawn[-1][1:]] == ["finished"] * 2 + ["failed"] * 20


def test_running_ones_stand_first_then_the_last_that_ended():
    states = {"cells/a": "finished", "cells/b": "failed", "cells/c": "running", "cells/d": "missing", "cells/e": "queued"}
    assert board(states, ["cells/b", "cells/a"], 80, 24) == [
        "5 cells: 1 finished, 1 failed, 1 running, 1 missing, 1 queued",
        "cells/c  running", "cells/b  failed", "cells/a  finished",
    ]  # fmt: skip
    assert board(states, ["cells/b", "cells/a"], 80, 4)[1:] == ["cells/c  running", "cells/b  failed"]
    assert board(states, ["cells/b", "cells/a"], 80, 2)[1:] == []
    assert board({}, [], 80, 24) == ["0 cells: "]


def test_a_long_place_keeps_its_seed():
    place = f"cells/{'objective-masked+' * 6}/seed-11"
    (_, row) = board({place: "running"}, [], 40, 24)
    assert len(row) == 40
    assert row == "cells/objective-ma…ked+/seed-11  running"
