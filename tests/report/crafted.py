"""A run and a study in which every name that comes from a file tries to be more than a name."""

from __future__ import annotations

import json

EVIL = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"
QUOTES = "\"'><svg onload=alert(3)>&amp;"
BAD = (EVIL, IMAGE, QUOTES)


def crafted(run):
    """Changes a scored run's files in place, all but their shape; gives the folder, renamed."""
    record = json.loads((run / "run.json").read_text())
    record |= {"name": EVIL, "reason": QUOTES, "status": IMAGE, "plugins": list(BAD)}
    record["versions"] |= {EVIL: QUOTES}
    record["components"] = {EVIL: {QUOTES: IMAGE}}
    record["genomes"][0]["path"] = EVIL
    record["resolved"]["device"] = EVIL
    record["baselines"] = {IMAGE: next(iter(record["baselines"].values()))}
    record["peak_memory"]["of"] = QUOTES
    (run / "run.json").write_text(json.dumps(record))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {
            EVIL: 1.0,
            f"{IMAGE}/loss": 2.0,
            f"held_out_plain/{QUOTES}/{EVIL}/teacher": 1.0,
            f"evaluation/{EVIL}/knn/mcc": 0.5,
        }
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("evaluation.json", "audit.json"):
        kept = json.loads((run / name).read_text())
        for entry in kept.values():
            entry |= {"task": EVIL, "path": QUOTES, "notes": list(BAD)}
            if name == "audit.json":
                entry["unknown"] = list(BAD)
                entry["between"][0]["rows_of"] = IMAGE
            else:
                entry |= {"classes": list(BAD[:2]), "areas": QUOTES, "branch": EVIL}
                entry["protocols"] = {IMAGE: next(iter(entry["protocols"].values()))}
                entry["protocols"][IMAGE]["encoder"]["chosen"] = [{"k": EVIL}]
                entry["protocols"][IMAGE]["encoder_minus"]["kmer"]["mcc"]["verdict"] = QUOTES
        (run / name).write_text(json.dumps(kept))
    recipe = run / "recipe.yaml"
    recipe.write_text(f"# {EVIL}{QUOTES}\n{recipe.read_text()}")
    return run.rename(run.with_name(IMAGE))


def crafted_study(study):
    """Likewise, as far as a study's file allows it: its names are checked, tasks and values are not."""
    declared = json.loads((study / "study.json").read_text())
    declared |= {"recipe": EVIL, "tasks": [QUOTES], "overrides": {EVIL: QUOTES}}
    space = {IMAGE: {"choices": [QUOTES, EVIL]}}
    declared["search"] = {
        "metric": f"held_out/masked/{IMAGE}",
        "direction": "minimise",
        "sampler": "grid",
        "seed": 9,
        "space": space,
    }
    (study / "search" / "trial-0").mkdir(parents=True)
    trial = {"number": 0, "values": {IMAGE: QUOTES}, "state": "failed", "reason": EVIL}
    (study / "search" / "trial-0" / "trial.json").write_text(json.dumps(trial))
    (study / "study.json").write_text(json.dumps(declared))
    text = (study / "result.json").read_text().replace("not enough seeds to say", "<b>1</b>")
    result = json.loads(text)
    (task,) = result["tasks"]
    result["tasks"] = {EVIL: task}
    result["study"]["name"] = IMAGE
    for condition in result["conditions"].values():
        condition["scores"] = {EVIL: condition["scores"][task]}
        condition["controls"] = {who: {EVIL: own[task]} for who, own in condition["controls"].items()}
        if "effect" in condition:
            condition["effect"]["by_task"] = {EVIL: condition["effect"]["by_task"][task]}
    result["conditions"] = {QUOTES if "effect" in one else name: one for name, one in result["conditions"].items()}
    (study / "result.json").write_text(json.dumps(result))
    (study / "cells" / "reference" / "seed-0" / "failed.json").write_text(json.dumps({"reason": EVIL}))
    return study
