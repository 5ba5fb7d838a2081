"""Prior shares of a gate's choices."""

from collections.abc import Sequence

from ada_ensemble_tf.arguments import ArgumentError


def prior_shares(given: Sequence[float] | None, size: int, name: str) -> tuple[float, ...]:
    """The expected share of each of `size` choices; uniform if None is given.

    Args:
        given: the shares.
        size: how many there should be.
        name: the argument's name, for the error message.

    Raises:
        ArgumentError: if they are not `size` positive numbers that sum to 1.

    Example:
        >>> prior_shares(None, size=4, name="expert_prior")
        (0.25, 0.25, 0.25, 0.25)
    """
    if given is None:
        return (1.0 / size,) * size
    prior = tuple(float(share) for share in given)
    if len(prior) != size or not (min(prior) > 0.0 and abs(sum(prior) - 1.0) <= 1e-6):
        raise ArgumentError(name, f"hold {size} positive shares that sum to 1", prior)
    return prior
