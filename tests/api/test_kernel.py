"""A run in a real kernel of Jupyter: its progress bar, and an interrupt that leaves a run which resumes bit for bit."""

import queue
import re
import time

import pytest
from jupyter_client.manager import KernelManager

import findna_kit as fk
from tests.trainer.test_resume import assert_same_run

pytestmark = pytest.mark.slow


@pytest.fixture
def kernel(tmp_path):
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def finished(client, request):
    """Return the reply to a request, and the messages that were shown meanwhile."""
    while (reply := client.get_shell_msg(timeout=240))["parent_header"].get("msg_id") != request:
        pass
    shown = []
    while True:
        try:
            shown.append(client.get_iopub_msg(timeout=1))
        except queue.Empty:
            return reply["content"], shown


def test_the_stop_button_saves_and_the_run_resumes_bit_for_bit(kernel, tmp_path, tiny):
    manager, client = kernel
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(fk.load_recipe("masked_only", **{**tiny, "steps": 60, "trainer.checkpoint_every": 100}).dump())
    request = client.execute("import findna_kit as fk\nfk.run('recipe.yaml', out='cut', device='cpu')")
    rows = tmp_path / "cut" / "metrics.jsonl"
    while not (rows.is_file() and rows.read_bytes().count(b"\n") > 3):
        assert manager.is_alive()
        time.sleep(0.02)
    manager.interrupt_kernel()
    reply, shown = finished(client, request)
    assert (reply["status"], reply["ename"]) == ("error", "Interrupted")
    assert "findna_kit.run(resume=FOLDER) continues" in reply["evalue"]
    bars = [one["msg_type"] for one in shown if re.search("training.*<progress", str(one["content"].get("data")))]
    assert bars[0] == "display_data"
    assert set(bars[1:]) <= {"update_display_data"}, "one bar, drawn again"
    assert fk.Run(tmp_path / "cut").status == "interrupted"
    assert (tmp_path / "cut" / "metrics.jsonl").read_text().count("\n") < 60
    reply, _ = finished(client, client.execute("fk.run(resume='cut', device='cpu')"))
    assert reply["status"] == "ok"
    fk.run(recipe, out=tmp_path / "whole", device="cpu")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
