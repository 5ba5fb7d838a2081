"""Bytes that a device sends in collectives, as the usual algorithms move them.

N devices are H hosts of G. A ring that runs through hosts one after another sends 1 / G of its bytes across hosts, the
mean over a host's devices. Nothing here needs TensorFlow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Group = Literal["world", "host", "slot"]
_NUMBER = 4.0
"""Bytes of a float."""
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")


class Sent(NamedTuple):
    """Bytes that a device sends in a step."""

    inside: float = 0.0
    """To devices of its own host."""
    across: float = 0.0
    """To other hosts."""


@dataclass(frozen=True)
class Mesh:
    """H hosts of G devices each.

    The groups of devices are the world, the G devices of a host, and the H devices of a slot, the same place on every
    host.

    Attributes:
        hosts: H.
        devices: G.
    """

    hosts: int
    devices: int

    @property
    def size(self) -> int:
        """N."""
        return self.hosts * self.devices

    def members(self, group: Group) -> int:
        """How many devices a group has."""
        return {"world": self.size, "host": self.devices, "slot": self.hosts}[group]

    def _split(self, group: Group, sent: float, across: float) -> Sent:
        """Bytes of a collective, of which a share goes across hosts in the world."""
        share = {"world": across, "host": 0.0, "slot": 1.0}[group]
        return Sent(sent * (1.0 - share), sent * share)

    @property
    def _ring_across(self) -> float:
        return 1.0 / self.devices if self.hosts > 1 else 0.0

    def all_gather(self, group: Group, whole: float) -> Sent:
        """Each device has an equal part of `whole` bytes, and then all of them: (n - 1) / n of them sent."""
        n = self.members(group)
        return self._split(group, (n - 1) / n * whole, self._ring_across)

    def reduce_scatter(self, group: Group, whole: float) -> Sent:
        """Each device has `whole` bytes, and then its part of the sum: the same bytes as an all-gather."""
        return self.all_gather(group, whole)

    def all_reduce(self, group: Group, whole: float) -> Sent:
        """Each device has `whole` bytes, and then their sum: a reduce-scatter and an all-gather."""
        return Sent(*(2.0 * part for part in self.all_gather(group, whole)))

    def all_to_all(self, group: Group, whole: float) -> Sent:
        """Each device has `whole` bytes, an equal part for each device of the group, its own included."""
        n = self.members(group)
        others = self.size - self.devices
        return self._split(group, (n - 1) / n * whole, others / max(self.size - 1, 1))


@dataclass(frozen=True)
class Traffic:
    """What a device sends in a step.

    Attributes:
        by_kind: by the kind of collective, one of `KINDS`; kinds that send nothing may be absent.
    """

    by_kind: Mapping[str, Sent] = field(default_factory=dict)

    def plus(self, kind: str, sent: Sent) -> "Traffic":
        """This and one collective more."""
        before = self.by_kind.get(kind, Sent())
        return Traffic(dict(self.by_kind) | {kind: Sent(before.inside + sent.inside, before.across + sent.across)})

    @property
    def total(self) -> Sent:
        """Of all kinds."""
        sent = list(self.by_kind.values())
        return Sent(sum(one.inside for one in sent), sum(one.across for one in sent))


def dense_traffic(dense: str, mesh: Mesh, cut: float, whole: float) -> Traffic:
    """What dense layers exchange in a step, by how they are held.

    - "replicated": gradients are all-reduced among all devices, 2 (N - 1) / N bytes for each byte of them. So are, in
      the other two, those of what is not cut.
    - "fsdp": weights are cut among all devices and gathered in the forward and again in the backward pass, gradients
      are reduce-scattered: 3 (N - 1) / N.
    - "hsdp": the same inside each host, 3 (G - 1) / G, and the parts' gradients are all-reduced across hosts,
      2 (H - 1) / (H G). DHEN (arXiv 2203.11014), section 3.2, has 1.125 times the bytes of data parallel at G = 8. It
      gathers weights once and takes H large.

    Args:
        dense: one of these.
        mesh: the devices.
        cut: bytes of the weights that are cut, and of their gradients.
        whole: bytes of the other gradients.

    Example:
        >>> dense_traffic("hsdp", Mesh(hosts=2, devices=4), cut=1.0, whole=0.0).total
        Sent(inside=2.25, across=0.25)
    """
    traffic = Traffic()
    if whole:
        traffic = traffic.plus("all-reduce", mesh.all_reduce("world", whole))
    if not cut or dense == "replicated":
        return traffic
    group: Group = "world" if dense == "fsdp" else "host"
    for _ in ("forward", "backward"):
        traffic = traffic.plus("all-gather", mesh.all_gather(group, cut))
    traffic = traffic.plus("reduce-scatter", mesh.reduce_scatter(group, cut))
    if dense == "hsdp":
        traffic = traffic.plus("all-reduce", mesh.all_reduce("slot", cut / mesh.devices))
    return traffic


def table_traffic(
    tables: str,
    mesh: Mesh,
    ids: float,
    row_bytes: float,
    sent_bytes: float,
    rows: int,
    row_norms: bool = False,
) -> Traffic:
    """What a table's lookups and their gradients exchange in a step.

    - "replicated": the rows' gradients, each with its id, are gathered on all devices.
    - "columns": ids are gathered, embeddings go to the rows' devices and their gradients come back, both all-to-all.
      All devices send as much as the fullest. An optimiser that needs norms of rows which are cut sums a number for
      each id over all devices.

    Args:
        tables: one of these.
        mesh: the devices.
        ids: ids of a row of the data.
        row_bytes: bytes of a table's row in gradients.
        sent_bytes: bytes of embeddings that the fullest device sends for a row of the data, with "columns".
        rows: of the global batch.
        row_norms: whether the optimiser sums norms over the slices of rows.
    """
    id_bytes = 4.0
    if tables == "replicated":
        return Traffic().plus("all-gather", mesh.all_gather("world", rows * ids * (row_bytes + id_bytes)))
    traffic = Traffic().plus("all-gather", mesh.all_gather("world", rows * ids * id_bytes))
    for _ in ("embeddings", "gradients"):
        traffic = traffic.plus("all-to-all", mesh.all_to_all("world", rows * sent_bytes))
    if row_norms:
        traffic = traffic.plus("all-reduce", mesh.all_reduce("world", rows * ids * _NUMBER))
    return traffic
