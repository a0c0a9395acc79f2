"""The arguments of the program itself: --traceback belongs to the kit's own commands."""

import pytest

from findna_kit.cli.app import take_traceback
from findna_kit.plugins.entry_points import COMMANDS
from tests.installing import findna, install_package


@pytest.mark.parametrize(("arguments", "rest", "taken"), [
    (["run", "x"], ["run", "x"], False),
    (["run", "x", "--traceback"], ["run", "x"], True),
    (["--traceback", "runs", "list"], ["runs", "list"], True),
    (["plugins", "--traceback", "list"], ["plugins", "list"], True),
    (["lab", "--traceback"], ["lab", "--traceback"], False),
    (["--traceback", "lab", "--traceback"], ["lab", "--traceback"], True),
    (["--traceback"], [], True),
    ([], [], False),
])  # fmt: skip
def test_the_option_is_taken_from_commands_of_the_kit_alone(arguments, rest, taken):
    assert take_traceback(arguments) == (rest, taken)


ECHO = """
from findna_kit.errors import FindnaError
class Echo:
    def main(self, args, prog_name):
        print(args)
        raise FindnaError("an error of the plugin")
echo = Echo()
"""


def test_the_command_of_a_plugin_gets_its_arguments_untouched(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install_package(tmp_path, "findna-echo", {"echo.py": ECHO}, {COMMANDS: {"echo": "echo:echo"}}))
    assert findna("echo", "-x", "--traceback") == (2, "['-x', '--traceback']\n", "an error of the plugin\n")
    code, out, err = findna("--traceback", "echo", "-x")
    assert (code, out) == (2, "['-x']\n")
    assert err.startswith("Traceback") and err.endswith("\nan error of the plugin\n")
