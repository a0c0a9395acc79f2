"""A compiled run is the eager one to rounding; without a compiler there is a sentence."""

import pytest
import torch

from findna_kit.errors import FindnaError, Interrupted, RecipeError
from findna_kit.metrics.writers import read_rows
from findna_kit.runs import RunLocation, start
from findna_kit.trainer.compilation import compiled_encoders
from tests.building import SMALL, command, experiment_of, sets, small
from tests.trainer.test_resume import interrupt_at

ENCODERS = {
    "chordmixer": "encoder={name: chordmixer, dim: 8, hidden: 8, blocks: 1, layers: 2}",
    "transformer": "encoder={name: transformer, dim: 8, hidden: 8, blocks: 1, heads: 2}",
}
UNEVEN = pytest.param("transformer", "trainer.micro_batch=3", marks=pytest.mark.slow(reason="each shape is traced anew: 20 s"))
SHORT = ("data.length=14", "steps=4", "trainer.validate_every=2", "trainer.checkpoint_every=1")

# What torch says to itself while it traces, and hides: an error cannot be hidden.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:torch")


@pytest.fixture
def graphs():
    """How many graphs torch has compiled in this test; to go on without compiling because there are many is an error."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield lambda: torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@pytest.mark.parametrize(("encoder", "micro_batch"), [*((name, "trainer.micro_batch=8") for name in ENCODERS), UNEVEN])
def test_a_traced_run_resumed_equals_an_eager_one_to_rounding(encoder, micro_batch, tmp_path, graphs):
    """Student and teacher, views that are padded and not, looks at held-out windows between the steps.

    Micro-batches of 3, 3 and 2 make more graphs of one encoder than torch keeps by default.
    """
    rows = {}
    for compiled in ("false", "aot_eager"):
        overrides = (ENCODERS[encoder], *SHORT, micro_batch, f"trainer.compile={compiled}")
        recipe, components, plugins = small("self_distill", *overrides)
        common = {"components": components, "plugins": plugins, "device": "cpu"}
        with pytest.raises(Interrupted):
            start(recipe, RunLocation(tmp_path / compiled), **common, observer=interrupt_at(2))
        before = graphs()
        torch._dynamo.reset()  # as in the new process that a resumed run is
        start(recipe, RunLocation(resume=tmp_path / compiled), **common)
        assert (before > 0, graphs() > before) == ((False, False) if compiled == "false" else (True, True))
        rows[compiled] = read_rows(tmp_path / compiled)
    assert [row["step"] for row in rows["false"]] == [0, 1, 2, 3, 4]
    for eager, traced in zip(rows["false"], rows["aot_eager"], strict=True):
        assert eager.keys() == traced.keys()
        for name in eager.keys() - {"bases_per_second"}:
            assert traced[name] == pytest.approx(eager[name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("how", ["none", "one that fails"])
def test_no_compiler_is_an_error_message(how, tmp_path):
    """Inductor generates C++; eager and aot_eager need none."""
    compiler = tmp_path / "g++"
    if how == "one that fails":  # as g++ does without Python's headers
        compiler.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo g++ 13 && exit 0\necho "Python.h: no such file" >&2\nexit 1\n'
        )
        compiler.chmod(0o755)
    environment = {"CXX": str(compiler), "PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    choices = sets(*SMALL, *SHORT, ENCODERS["chordmixer"], "trainer.compile=true")
    done = command("run", "masked_only", *choices, "--out", tmp_path / "run", "--device", "cpu", env=environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "trainer.compile: true needs a working compiler on this machine" in done.stderr
    assert done.stderr.rstrip().endswith("or set trainer.compile to false or aot_eager")


def test_an_encoder_that_breaks_the_compiler_is_not_an_error_of_the_user(graphs):
    experiment, _, _ = experiment_of(small("masked_only", ENCODERS["chordmixer"], "trainer.compile=aot_eager")[0])

    @torch.library.custom_op("findna_kit_tests::untraceable", mutates_args=())
    def untraceable(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    experiment.student.encoder.embed.register_forward_hook(lambda module, given, out: untraceable(out))
    valid = torch.ones(2, 14, dtype=torch.bool)
    with pytest.raises(Exception, match="untraceable") as raised, compiled_encoders(experiment):
        experiment.student.encoder(torch.zeros(2, 14, 5), valid)
    assert not isinstance(raised.value, FindnaError)


@pytest.mark.parametrize(("value", "got"), [("inductor", "'inductor'"), ("1", "1"), ("null", "null")])
def test_what_compile_may_be(value, got):
    with pytest.raises(RecipeError, match=f"trainer.compile: expected true or false or 'aot_eager' \\(got {got}\\)"):
        small("masked_only", f"trainer.compile={value}")
