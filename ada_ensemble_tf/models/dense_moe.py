"""AdaEnsemble with all experts on."""

from collections.abc import Sequence

import keras

from ada_ensemble_tf.models.ada_ensemble import EXPERTS, AdaEnsemble


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DenseMoE(AdaEnsemble):
    """`AdaEnsemble` with K = E: every expert on every row, weighted by the gates (arXiv 2301.08353, table 2).

    The depth controller stays, for the paper gives DenseMoE 9.78 MFLOPs, where four full layers have 12.6;
    `depth_objective="none"` leaves it out.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        experts: names of the experts in each layer.
        dispatcher: "dense", or a fusion, see `SparseMoE`.
        **arguments: `AdaEnsemble`'s others, less `k` and `k_schedule`.

    Raises:
        ValueError: for arguments out of range, named in the message.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        experts: Sequence[str] = EXPERTS,
        dispatcher: str = "dense",
        name: str = "dense_moe",
        **arguments,
    ):
        super().__init__(
            num_rows,
            num_fields,
            widths,
            value_rows,
            experts=experts,
            k=len(experts),
            dispatcher=dispatcher,
            name=name,
            **arguments,
        )

    def get_config(self):
        config = super().get_config()
        del config["k"], config["k_schedule"]
        return config
