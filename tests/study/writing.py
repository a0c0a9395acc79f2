"""Studies for tests: of two conditions, cut to seconds."""

from tests.building import SMALL
from tests.runs.test_evaluate import write_task

RATES = "{rate: {low: {}, high: {optimizer.learning_rate: 0.01}}}"
CUT = "{" + ", ".join(one.replace("=", ": ", 1) for one in SMALL if not one.startswith("evaluation")) + "}"


def write_study(folder, **keys):
    """A study's file in a folder that has the task `task`; each key as YAML, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "task").exists():
        write_task(folder / "task")
    stated = {
        "name": "tiny", "recipe": "masked_only", "overrides": CUT, "factors": RATES, "seeds": 2, "budget": "{steps: 2}",
        "tasks": "[task]", "metric": "knn/mcc", **keys,
    }  # fmt: skip
    path = folder / "study.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in stated.items() if value is not None))
    return path
