"""Loss terms, each a small function of tensors."""

from ada_ensemble_tf.losses.terms import expected_log_loss, load_distribution_loss, log_loss, router_z_loss, row_mean

__all__ = ["expected_log_loss", "load_distribution_loss", "log_loss", "router_z_loss", "row_mean"]
