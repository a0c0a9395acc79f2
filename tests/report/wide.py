"""A finished study as large as a laptop makes one: four conditions, eight seeds and four tasks.

Its files are the kit's own, copied from one real run; what differs between cells is written into them, and analysed by the kit.
"""

import json
import shutil

import numpy as np

from findna_kit.study.cells import cell_folders
from findna_kit.study.files import STUDY
from findna_kit.study.results import analyse
from findna_kit.study.run import write_result
from findna_kit.study.schema import Study, StudyCell
from tests.building import small

TASKS = {f"/data/tasks/{path}": path.rpartition("/")[2] for path in (
    "GUE/EMP/H3", "GUE/EMP/H4", "nucleosome/C_elegans", "CNNProm/arabidopsis_tata",
)}  # fmt: skip
DECLARED = {
    "name": "objectives", "recipe": "self_distill", "seeds": 8, "tasks": list(TASKS), "metric": "knn/mcc",
    "factors": {"objective": {
        "both": {}, "masked": {"losses.distill": None}, "distillation": {"losses.masked": None},
        "none": {"losses": {}, "steps": 0},
    }},
}  # fmt: skip
SHIFTS = (0.30, 0.28, 0.18, 0.05)


def write_wide(folder, run):
    """The study's folder. run: a scored run, whose files every cell has."""
    study = Study.model_validate_json(json.dumps(DECLARED))
    random = np.random.default_rng(7)
    recipe = small("self_distill")[0]
    cells = [StudyCell(condition, seed, recipe) for condition in study.conditions() for seed in study.every_seed]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (evaluation,) = json.loads((run / "evaluation.json").read_text()).values()
    by_seed = random.normal(0, 0.04, (8, len(TASKS)))
    shift = dict(zip(study.conditions(), SHIFTS, strict=True))
    folders = cell_folders(cells, folder, TASKS)
    for one in folders:
        one.run.mkdir(parents=True)
        for name in ("run.json", "recipe.yaml"):
            shutil.copy(run / name, one.run)
        scale = 1 + shift[one.cell.condition] + 0.05 * random.normal()
        drawn = [
            {key: value if key == "step" or value is None else scale * value for key, value in row.items()} for row in rows
        ]
        (one.run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in drawn))
        scored = {}
        for place, (path, task) in enumerate(TASKS.items()):
            entry = json.loads(json.dumps(evaluation)) | {"task": task, "path": path}
            block = entry["protocols"]["knn"]
            block["encoder"]["mcc"]["value"] = (
                shift[one.cell.condition] + by_seed[one.cell.seed, place] + random.normal(0, 0.02)
            )
            block["random_init"]["mcc"]["value"] = 0.05 + by_seed[one.cell.seed, place]
            scored[path] = entry
        (one.run / "evaluation.json").write_text(json.dumps(scored))
    result = analyse(study, folders)
    write_result(folder, result)
    (folder / STUDY).write_text(json.dumps(study.model_dump(mode="json")))
    return folder
