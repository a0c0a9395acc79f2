"""A study's result on TensorBoard's HPARAMS page."""

from findna_kit.study.files import ConditionResult, SeedScores, StudyResult
from findna_kit.study.hparams_export import export_hparams
from tests.metrics.boards import read_hparams


def result(metric, seeds, **conditions):
    return StudyResult.model_construct(
        study={"metric": metric},
        seeds=seeds,
        conditions={
            name: ConditionResult.model_construct(
                levels=levels, scores={task: SeedScores.model_construct(each=each) for task, each in scores.items()}
            )
            for name, (levels, scores) in conditions.items()
        },
    )


def test_each_cell_has_its_levels_its_seed_and_the_declared_score(tmp_path):
    low, high = {"rate": "low"}, {"rate": "high"}
    export_hparams(
        tmp_path, result("probe/mcc", [0, 4], reference=(low, {"a": [0.5, 0.25]}), high=(high, {"a": [0.75, 0.125]}))
    )
    assert read_hparams(tmp_path / "tensorboard")[1] == {
        "reference/seed-0": ({**low, "seed": 0}, {"probe/mcc": 0.5}),
        "reference/seed-4": ({**low, "seed": 4}, {"probe/mcc": 0.25}),
        "high/seed-0": ({**high, "seed": 0}, {"probe/mcc": 0.75}),
        "high/seed-4": ({**high, "seed": 4}, {"probe/mcc": 0.125}),
    }


def test_of_several_tasks_their_mean_and_each(tmp_path):
    export_hparams(tmp_path, result("knn/mcc", [1], reference=({"seed": "x"}, {"a": [0.5], "b": [1.0]})))
    assert read_hparams(tmp_path / "tensorboard")[1] == {
        "reference/seed-1": ({"seed": "x", "seed of the run": 1}, {"knn/mcc": 0.75, "knn/mcc/a": 0.5, "knn/mcc/b": 1.0}),
    }
