"""TensorBoard's HPARAMS dashboard: many runs in one table, with the settings and results of each."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from findna_kit.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Session:
    """One run of the table.

    name: of its folder below the board, and of its row. settings: the values of one setting are all text or all numbers.
    """

    name: str
    settings: Mapping[str, str | int | float]
    results: Mapping[str, float]


def write_hparams(board: Path, sessions: Sequence[Session]) -> None:
    """Write or replace the folder that `tensorboard --logdir BOARD` shows under HPARAMS. One process at a time may call it."""
    for leftover in board.parent.glob(f".{board.name}.*"):  # of a process that was killed here
        shutil.rmtree(leftover, ignore_errors=True)
    with atomic_write(board, replace_folder=True) as folder:
        _write(folder, [_experiment(sessions)])
        for session in sessions:
            _write(folder / session.name, _summaries(session))


def _experiment(sessions: Sequence[Session]) -> Any:
    """Return the summary that declares the settings, with all their values, and the results."""
    # Imported in functions: TensorBoard takes a second to import, and only studies write this. Its `api` needs TensorFlow.
    from tensorboard.plugins.hparams import summary_v2

    values: dict[str, dict[Any, None]] = {}
    for session in sessions:
        for name, value in session.settings.items():
            values.setdefault(name, {})[value] = None
    results = dict.fromkeys(name for session in sessions for name in session.results)
    settings = [summary_v2.HParam(name, summary_v2.Discrete(list(known))) for name, known in values.items()]
    return summary_v2.hparams_config_pb(settings, [summary_v2.Metric(name) for name in results])


def _summaries(session: Session) -> list[Any]:
    """Return one session's summaries: its start with the settings, its results, and its end."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

    now = time.time()
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    end_metadata = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    values = [Summary.Value(tag=name, simple_value=value) for name, value in session.results.items()]
    session_end = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=end_metadata, tensor=metadata.NULL_TENSOR)
    session_start = summary_v2.hparams_pb(dict(session.settings), trial_id=session.name, start_time_secs=now)
    return [session_start, Summary(value=values), Summary(value=[session_end])]


def _write(folder: Path, summaries: Sequence[Any]) -> None:
    """Write the summaries to a new event file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for summary in summaries:
        writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))
    writer.close()
