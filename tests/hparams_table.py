"""The HParams table that TensorBoard's own code makes of a folder."""

from pathlib import Path

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler


def hparams_table(logdir: Path) -> tuple[set[str], dict[str, tuple[dict, dict[str, float]]]]:
    """(names of the metrics' columns, (hyperparameters, metrics) by the row's name)."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context, asked = Context(TBContext(data_provider=provider)), RequestContext()
    found = context.hparams_from_data_provider(asked, "", 0)
    metadata = context.hparams_metadata(asked, "")
    experiment = context.experiment_from_metadata(asked, "", True, metadata, found)
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        slice_size=100,
        col_params=[api_pb2.ColParams(metric=one.name) for one in experiment.metric_infos],
    )
    rows = {}
    for group in Handler(asked, context, "", request).run().session_groups:
        (session,) = group.sessions
        hparams = {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}
        rows[session.name] = hparams, {one.name.tag: one.value for one in session.metric_values}
    return {one.name.tag for one in experiment.metric_infos}, rows
