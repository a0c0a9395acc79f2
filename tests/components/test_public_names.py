"""The one door for plugin authors: the exact list of its names, and that nothing ships that goes past it."""

import re

import pytest

import findna_kit.components
import findna_kit.plugins
from findna_kit.plugins.registry import Components
from tests.building import ROOT

NAMES = [
    "API_VERSION", "Augmentation", "AveragingConfig", "BatchNorm", "BranchOutput", "Clock", "ComponentConfig", "Constant",
    "Contig", "Cosine", "Draw", "Encoder", "Examples", "FeatureStatistics", "Level", "Linear", "Loss", "LossOutput",
    "MaskCorruptionConfig", "Masking", "Optimizer", "OptimizerConfig", "ParameterGroup", "Projector", "Prototypes",
    "RecipePath", "Schedule", "ScheduleConfig", "ScheduleFunction", "SegmentConfig", "TeacherUpdate", "View", "ViewPlan",
    "WarmupStableDecay", "average_halves", "ema_update", "embedding_width", "feature_statistics", "hookimpl",
    "information_shares", "maskable_bases", "positions_and_lengths", "reverse_complement_bases", "reverse_valid",
    "shifted_segments", "sinkhorn", "torch_groups", "within", "zero_until",
]  # fmt: skip
USERS = [
    *ROOT.glob("findna_kit/builtin/**/*.py"),
    *ROOT.glob("findna_kit/cli/templates/*.txt"),
    *ROOT.glob("plugins/*/findna_kit_*/**/*.py"),
    ROOT / "docs/write-a-plugin.md",
]


def test_the_public_names_are_exactly_these():
    assert sorted(findna_kit.components.__all__) == NAMES
    assert all(hasattr(findna_kit.components, name) for name in NAMES)


def test_the_documentation_of_the_package_names_each_of_them():
    assert [name for name in NAMES if f"`{name}`" not in findna_kit.components.__doc__] == []


def test_what_a_hook_is_given_comes_from_the_package_of_plugins():
    assert findna_kit.plugins.Components is Components
    with pytest.raises(AttributeError, match="has no attribute 'Registry'"):
        _ = findna_kit.plugins.Registry


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_components_import_the_interfaces_from_the_door_alone(path):
    inner = re.findall(r"from (findna_kit\.(?:components\.\w+|schedules|plugins\.\w+)) import", path.read_text())
    assert inner == []
