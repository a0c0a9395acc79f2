"""What TensorBoard itself reads in a folder: its own accumulator of events, and its HPARAMS page."""

from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def read_hparams(folder):
    """The experiment, and of each session by its group's name: settings, results."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    page = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder)), logdir=str(folder)))
    request = context.RequestContext()
    experiment = page.experiment_from_metadata(request, "", True, page.hparams_metadata(request, ""), [])
    wanted = api_pb2.ListSessionGroupsRequest(
        slice_size=1000, allowed_statuses=[api_pb2.STATUS_SUCCESS], col_params=[], include_metrics=True
    )
    found = list_session_groups.Handler(request, page, "", wanted).run()
    return experiment, {
        group.name: (
            {name: value.string_value or value.number_value for name, value in group.hparams.items()},
            {metric.name.tag: round(metric.value, 6) for metric in group.metric_values},
        )
        for group in found.session_groups
    }
