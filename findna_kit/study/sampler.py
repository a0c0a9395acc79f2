"""Proposals of a hyperparameter search. The only module that imports optuna, which the extra `search` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution

    from findna_kit.study.search_space import Search, SearchRange

TrialResult = tuple["Mapping[str, float]", float | None]
"""The numbers sampled for a trial, and the value of its metric; None where the trial failed."""

RANDOM_TRIALS = 10
"""Trials that the sampler tpe needs before it models the metric; until then it samples at random."""


def propose(search: Search, number: int, results: Sequence[TrialResult]) -> dict[str, float]:
    """Return the numbers for a trial by recipe path: values of ranges, indices of choices.

    They follow from the search, the trial's number and the results before its batch, so a killed search loses no state.
    """
    if search.sampler == "grid":
        sizes = [len(values.choices or ()) for values in search.space.values()]
        return {path: int(index) for path, index in zip(search.space, np.unravel_index(number, sizes), strict=True)}
    return _sample(search, number, results)


def _sample(search: Search, number: int, results: Sequence[TrialResult]) -> dict[str, float]:
    import optuna  # an optional library, which grids do not need
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise it reports each new study on stderr
    # A new sampler for every trial, seeded by the trial's number: proposals do not depend on where an earlier call ended.
    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    if search.sampler == "tpe":
        sampler: optuna.samplers.BaseSampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(direction="maximize" if search.criterion.maximise else "minimize", sampler=sampler)
    space = {path: _distribution(values) for path, values in search.space.items()}
    for sampled, value in results:
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=value, params=dict(sampled), distributions=space))
    return dict(study.ask(space).params)


def _distribution(values: SearchRange) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # as above

    if values.choices is not None:  # by index, because optuna's choices cannot be maps
        return CategoricalDistribution(range(len(values.choices)))
    low, high = values.low or 0.0, values.high or 0.0
    if values.integer:
        return IntDistribution(int(low), int(high), log=values.log)
    return FloatDistribution(low, high, log=values.log)
