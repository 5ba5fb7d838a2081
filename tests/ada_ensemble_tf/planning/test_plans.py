import pytest

from ada_ensemble_tf.devices.placement import FieldTable
from ada_ensemble_tf.planning.describing import amount, describe
from ada_ensemble_tf.planning.model_bytes import ModelBytes, TableBytes, WeightBytes
from ada_ensemble_tf.planning.plans import Plan, plans, recommended
from ada_ensemble_tf.planning.traffic import Mesh

# Four fields of 100 rows and one id each, D = 4: a table of 1600 numbers, in float32 with two slots.
MODEL = ModelBytes(
    fields=(FieldTable(100),) * 4,
    tables=(TableBytes("embedding", 4, 4, 6400, 12800),),
    weights=1100,
    gradients=1000,
    slots=2000,
    layers=((WeightBytes(50, 4, 400), WeightBytes(3, 4, 24)), (WeightBytes(75, 4, 600),)),
    activations=50,
    recomputed=30,
)
MESH = Mesh(hosts=2, devices=2)
ROWS = 8
BEST = "recommended:"
HSDP = "--config.sharding.tables=columns --config.sharding.dense=hsdp --config.sharding.devices_per_host=2"


def by_name() -> dict[tuple[str, str], Plan]:
    return {(plan.tables, plan.dense): plan for plan in plans(MODEL, MESH, ROWS)}


def test_bytes_of_a_device_by_hand():
    found = by_name()
    # Each of 8 x 4 ids brings a row's gradient of 4 numbers and its id.
    assert found["replicated", "replicated"].memory == (6400, 1100, 1000 + 8 * 4 * 20, 2000 + 12800, 50)
    # A field a device, and a row of no field; the fullest sends 4 numbers for each row and gets the gradients of all 8.
    assert found["columns", "replicated"].memory == (1616, 1100, 1000 + 8 * 16, 2000 + 3232, 50)
    # Halves inside each host: 25 of 50 numbers, 2 of 3 and 38 of 75; and one whole layer with its gradient.
    cut = 512 - 4 * (25 + 2 + 38)
    assert found["columns", "hsdp"].memory == (
        1616,
        1100 - cut + 300,
        1000 - cut + 300 + 8 * 16,
        2000 - 2 * cut + 3232,
        30,
    )
    # Quarters: 13 and 19. Three numbers stay whole.
    cut = 500 - 4 * (13 + 19)
    assert found["columns", "fsdp"].memory == (
        1616,
        1100 - cut + 300,
        1000 - cut + 300 + 8 * 16,
        2000 - 2 * cut + 3232,
        30,
    )
    # The rest of the gradients is all-reduced among the four; parts are among two hosts, half of what was cut each.
    sent = found["columns", "hsdp"].traffic.by_kind
    assert sum(sent["all-reduce"]) == 2 * 3 / 4 * (1000 - 512) + 4 * (25 + 2 + 38)
    assert sum(sent["reduce-scatter"]) == 4 * (25 + 2 + 38)


def test_plans_are_those_that_differ_and_the_simplest_that_fits_is_recommended():
    assert list(by_name()) == [
        ("replicated", "replicated"),
        ("columns", "replicated"),
        ("replicated", "hsdp"),
        ("replicated", "fsdp"),
        ("columns", "hsdp"),
        ("columns", "fsdp"),
    ]
    assert {plan.dense for plan in plans(MODEL, Mesh(1, 4), ROWS)} == {"replicated", "fsdp"}
    assert {plan.dense for plan in plans(MODEL, Mesh(4, 1), ROWS)} == {"replicated", "fsdp"}
    (alone,) = plans(MODEL, Mesh(1, 1), ROWS)
    assert not any(alone.traffic.total)
    found = plans(MODEL, MESH, ROWS)
    assert [recommended(found, memory) for memory in (100_000, 10_000, 8_700)] == [found[0], found[1], found[4]]
    assert recommended(found, 5_000) is None


@pytest.mark.parametrize(
    "memory, said",
    [
        (1e5, f"{BEST} tables replicated, dense replicated, the simplest that fits: the default"),
        (1e4, f"{BEST} tables columns, dense replicated, the simplest that fits: --config.sharding.tables=columns"),
        (8.7e3, f"{BEST} tables columns, dense hsdp, the simplest that fits: {HSDP}"),
        (5e3, "none fits: the least, tables columns, dense fsdp, needs 8.22 kB of 5 kB a device"),
    ],
)
def test_the_output_says_how_to_train_the_simplest_plan_that_fits(memory, said):
    lines = list(describe(plans(MODEL, MESH, ROWS), MESH, memory))
    assert said in lines
    assert any(line.startswith("dense fsdp and hsdp: training refuses ") for line in lines)


def test_amounts_have_three_digits():
    assert [amount(size) for size in (0, 999, 1000, 1_234_567, 4e13)] == ["0 B", "999 B", "1 kB", "1.23 MB", "40 TB"]
