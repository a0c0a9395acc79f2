"""Which metrics share an axis, and under which heading they stand."""

from findna_kit.report.sections.families import families


def found(*names):
    return {family.title: family for family in families(names)}


def test_a_term_in_training_and_held_out_share_an_axis():
    (family,) = families(["held_out/masked/loss", "masked/loss"])
    assert (family.title, family.heading, family.shared) == ("masked: loss", "losses", True)
    assert list(family.panels.items()) == [("masked/loss", "training"), ("held_out/masked/loss", "validation")]


def test_branches_share_an_axis_and_the_best_baseline_is_drawn():
    names = [
        f"held_out_plain/masked/{metric}/{branch}"
        for metric in ("accuracy", "bits_per_base")
        for branch in ("student", "teacher")
    ]
    names += ["baseline/markov_0/accuracy", "baseline/markov_0/bits_per_base", "baseline/markov_5/bits_per_base"]
    accuracy, bits = families(names)
    assert list(accuracy.panels.values()) == ["student", "teacher"]
    assert (accuracy.best, accuracy.levels) == ("high", {"markov_0": ["baseline/markov_0/accuracy"]})
    assert (bits.best, list(bits.levels)) == ("low", ["markov_0", "markov_5"])


def test_signals_of_collapse_stand_together_whoever_writes_them():
    every = found(
        "collapse/student/pooled_rankme", "distill/teacher_entropy", "swav/code_entropy_share", "byol/spread",
        "vicreg/deviation", "jepa/target_variance", "masked/accuracy", "moco/queue_ranking",
    )  # fmt: skip
    signals = {title for title, family in every.items() if family.heading == "collapse"}
    assert signals == {
        "pooled rankme", "distill: teacher entropy", "swav: code entropy share", "byol: spread", "vicreg: deviation",
        "jepa: target variance",
    }  # fmt: skip
    assert all(every[title].from_zero for title in signals)


def test_online_probes_keep_paths_and_their_control():
    (family,) = families(
        ["evaluation//data/my/task/knn/mcc/kmer", "evaluation//data/my/task/knn/mcc", "evaluation//data/my/task/probe/mcc"]
    )
    assert (family.title, family.heading) == ("/data/my/task: mcc", "probes")
    assert list(family.panels.values()) == ["knn", "probe"]
    assert family.levels == {"k-mers": ["evaluation//data/my/task/knn/mcc/kmer"]}


def test_what_stands_alone_has_its_own_axis_and_nothing_is_lost():
    names = ["loss", "learning_rate", "momentum", "gradient_norm", "bases_per_second", "temperature", "a/b/c/d", "held_out/x"]
    every = families(names)
    assert sorted(name for family in every for name in family.panels) == sorted(names)
    alone = {family.heading: family for family in every if not family.shared}
    assert list(alone["optimiser"].panels.values()) == ["learning rate", "momentum", "gradient norm"]
    assert set(alone) == {"optimiser", "speed", "other"}


def test_a_control_without_its_score_draws_nothing():
    assert families(["evaluation/task/knn/mcc/kmer", "baseline/markov_0/accuracy"]) == []
