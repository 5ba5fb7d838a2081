import pytest

from ada_ensemble_tf.planning.traffic import KINDS, Mesh, Sent, dense_traffic, table_traffic

TWO_BY_FOUR = Mesh(hosts=2, devices=4)


@pytest.mark.parametrize(
    "dense, total, across",
    # Of 8 devices: 2 x 7/8; 3 x 7/8; 3 x 3/4 inside and 2 x 1/2 x 1/4 across. A ring sends a quarter across hosts.
    [("replicated", 1.75, 1.75 / 4), ("fsdp", 2.625, 2.625 / 4), ("hsdp", 2.5, 0.25)],
)
def test_dense_layers_send_what_the_formulas_say(dense, total, across):
    of_all = {"replicated": (0.0, 100.0)}
    sent = dense_traffic(dense, TWO_BY_FOUR, *of_all.get(dense, (100.0, 0.0))).total
    assert sum(sent) == pytest.approx(100.0 * total) and sent.across == pytest.approx(100.0 * across)


def test_kinds_are_those_of_the_sharding():
    kinds = {
        dense: set(dense_traffic(dense, TWO_BY_FOUR, 8.0, 8.0 * (dense == "replicated")).by_kind)
        for dense in ("replicated", "fsdp", "hsdp")
    }
    assert kinds == {
        "replicated": {"all-reduce"},
        "fsdp": {"all-gather", "reduce-scatter"},
        "hsdp": {"all-gather", "reduce-scatter", "all-reduce"},
    }
    assert set.union(*kinds.values()) < set(KINDS)
    hsdp = dense_traffic("hsdp", TWO_BY_FOUR, 8.0, 0.0).by_kind
    assert hsdp["all-gather"] == Sent(12.0, 0.0) and hsdp["all-reduce"] == Sent(0.0, 2.0)


def test_hybrid_sharding_of_the_paper_is_1_125_times_data_parallel():
    # The paper's assumptions: 8 devices a host, many hosts, weights gathered once; without the factors (n - 1) / n, a
    # host sends 2 W for gather and scatter and 2 W / 8 across, data parallel 2 W.
    mesh = Mesh(hosts=10_000, devices=8)
    hsdp, gather = dense_traffic("hsdp", mesh, 1.0, 0.0), mesh.all_gather("host", 1.0)
    once = sum(hsdp.total) - sum(gather)
    data_parallel = sum(dense_traffic("replicated", mesh, 0.0, 1.0).total)
    assert data_parallel == pytest.approx(2.0, rel=1e-3)
    assert (once - hsdp.total.across) / (7 / 8) / 2 + hsdp.total.across / 2 == pytest.approx(1.125, rel=1e-3)
    # What is sent in truth, with weights gathered twice.
    assert sum(hsdp.total) == pytest.approx(3 * 7 / 8 + 2 / 8, rel=1e-3)


def test_tables_send_rows_or_embeddings():
    # 10 rows of 3 ids; a row's gradient has 4 numbers and its id. Each device has an eighth of them.
    replicated = table_traffic("replicated", TWO_BY_FOUR, ids=3, row_bytes=16.0, sent_bytes=0.0, rows=10)
    assert replicated.by_kind.keys() == {"all-gather"}
    assert sum(replicated.total) == pytest.approx(7 / 8 * 10 * 3 * 20)
    # Ids go to all; each device sends 8 bytes of a row's embeddings for every row, but those of its own rows.
    columns = table_traffic("columns", TWO_BY_FOUR, ids=3, row_bytes=16.0, sent_bytes=8.0, rows=10)
    assert sum(columns.by_kind["all-gather"]) == pytest.approx(7 / 8 * 10 * 3 * 4)
    assert sum(columns.by_kind["all-to-all"]) == pytest.approx(2 * 7 / 8 * 10 * 8)
    # Four of a device's seven peers are on the other host.
    assert columns.by_kind["all-to-all"].across == pytest.approx(2 * 4 / 8 * 10 * 8)
    # Norms of cut rows: a number for each id, summed over all.
    norms = table_traffic("columns", TWO_BY_FOUR, 3, 16.0, 8.0, rows=10, row_norms=True).by_kind["all-reduce"]
    assert sum(norms) == pytest.approx(2 * 7 / 8 * 10 * 3 * 4)


@pytest.mark.parametrize(
    "mesh, inside, across", [(Mesh(1, 4), 1.5, 0.0), (Mesh(4, 1), 0.0, 1.5), (Mesh(1, 1), 0.0, 0.0)]
)
def test_one_host_and_one_device_a_host(mesh, inside, across):
    assert dense_traffic("replicated", mesh, 1.0, 1.0).total == pytest.approx((inside, across))
    sent = mesh.all_to_all("world", 2.0)
    assert sent == pytest.approx((inside, across))
