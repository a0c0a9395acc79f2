"""TensorBoard's hparams: many runs in one table, each with its settings and what came out of it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Session:
    """One run. name: its folder below the board's, and what it is called there; settings: all text, or all numbers, by name."""

    name: str
    settings: Mapping[str, str | int | float]
    results: Mapping[str, float]


def write_hparams(board: Path, sessions: Sequence[Session]) -> None:
    """What `tensorboard --logdir BOARD` shows under HPARAMS, in place of what was there: whole, or as it was before.

    One process at a time writes a board.
    """
    beside, old = (board.with_name(f".{board.name}.{word}") for word in ("new", "old"))
    for left in (beside, old):  # by a kill
        shutil.rmtree(left, ignore_errors=True)
    _write(beside, [_experiment(sessions)])
    for session in sessions:
        _write(beside / session.name, _summaries(session))
    if board.exists():
        board.rename(old)
    beside.rename(board)
    shutil.rmtree(old, ignore_errors=True)


def _experiment(sessions: Sequence[Session]) -> Any:
    """Which settings there are, with all their values, and which results."""
    from tensorboard.plugins.hparams import summary_v2  # `api`, which has the same, wants TensorFlow

    values: dict[str, dict[Any, None]] = {}
    for session in sessions:
        for name, value in session.settings.items():
            values.setdefault(name, {})[value] = None
    results = dict.fromkeys(name for session in sessions for name in session.results)
    settings = [summary_v2.HParam(name, summary_v2.Discrete(list(known))) for name, known in values.items()]
    return summary_v2.hparams_config_pb(settings, [summary_v2.Metric(name) for name in results])


def _summaries(session: Session) -> list[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

    now = time.time()
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    told = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    values = [Summary.Value(tag=name, simple_value=value) for name, value in session.results.items()]
    ended = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=told, tensor=metadata.NULL_TENSOR)
    begun = summary_v2.hparams_pb(dict(session.settings), trial_id=session.name, start_time_secs=now)
    return [begun, Summary(value=values), Summary(value=[ended])]


def _write(folder: Path, summaries: Sequence[Any]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for summary in summaries:
        writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))
    writer.close()
