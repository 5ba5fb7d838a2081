"""What a training would take on other devices:

python -m ada_ensemble_tf.plan --config=criteo:dhen --data_dir=DIR --devices=8 --hosts=16 --memory_gb=40

Prints the bytes that each device holds and sends in a step, for replicated and for sharded tables and dense layers,
which of these plans fit, and the simplest that does. No variable is made, so the model may be larger than this machine.
"""

from collections.abc import Sequence

from absl import flags

from ada_ensemble_tf.configs.files import define_config
from ada_ensemble_tf.trained.config_ranges import check_config
from data_pipelines.errors import UserError, run_main
from data_pipelines.read.dataset import open_data

_CONFIG = define_config()
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data.", required=True)
_DEVICES = flags.DEFINE_integer("devices", 1, "Devices of each host.", lower_bound=1)
_HOSTS = flags.DEFINE_integer("hosts", 1, "Hosts.", lower_bound=1)
_MEMORY_GB = flags.DEFINE_float("memory_gb", 40.0, "Memory of a device, in 10^9 bytes.", lower_bound=0.001)


def main(argv: Sequence[str]) -> None:
    """Prints the plans."""
    del argv
    config = _CONFIG.value
    check_config(config.to_dict())
    data = open_data(_DATA_DIR.value)
    devices = _HOSTS.value * _DEVICES.value
    if config.batch_size % devices:
        raise UserError(
            f"config.batch_size={config.batch_size} is the global batch, split equally among {devices} devices "
            f"(--hosts={_HOSTS.value} times --devices={_DEVICES.value}): choose a multiple of {devices}"
        )
    if devices > 1 and config.embedding_optimizer.get("slots_on", "device") == "host":
        raise UserError(
            "config.embedding_optimizer.slots_on='host' is for one device: leave 'device'; several devices share slots "
            "with config.sharding.tables='columns'"
        )
    # Imported here so that a wrong flag or data directory is reported without waiting for TensorFlow.
    from ada_ensemble_tf.planning.describing import amount, describe
    from ada_ensemble_tf.planning.model_bytes import model_bytes
    from ada_ensemble_tf.planning.plans import plans
    from ada_ensemble_tf.planning.traffic import Mesh
    from ada_ensemble_tf.plugins import load_plugins

    load_plugins(config.plugins)
    rows, mesh = config.batch_size // devices, Mesh(_HOSTS.value, _DEVICES.value)
    model, memory = model_bytes(config, data, rows), 1e9 * _MEMORY_GB.value
    tables = sum(table.held for table in model.tables)
    print(
        f"{config.model.name} on {mesh.hosts} hosts of {mesh.devices} devices with {amount(memory)}: {rows} of "
        f"{config.batch_size} rows a device"
    )
    print(f"{amount(tables)} of tables, {amount(model.weights)} of other weights")
    if model.on_host:
        print(f"{amount(model.on_host)} of optimiser state beside tables in the memory of the machine")
    print()
    for line in describe(plans(model, mesh, config.batch_size), mesh, memory):
        print(line)


if __name__ == "__main__":
    run_main(main)
