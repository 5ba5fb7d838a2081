"""Finds where records of delimited text end if values may be in double quotes.

An opening quote is the first character of its value. Inside a quoted value, a doubled quote stands for one quote. So
the number of quotes so far is even at every position outside quotes.
"""

import numpy as np

_QUOTE, _LINE_FEED = ord('"'), ord("\n")


def record_ends(data: np.ndarray, quoted: bool) -> np.ndarray:
    """Positions after the line feeds that end a record, in uint8 [bytes] that begin with a record."""
    ends = np.flatnonzero(data == _LINE_FEED)
    return (unquoted(data, ends) if quoted else ends) + 1


def unquoted(data: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The positions (in rising order) that are outside quotes."""
    quotes = np.flatnonzero(data == _QUOTE)
    return positions[np.searchsorted(quotes, positions) % 2 == 0]


def stray_quote(data: np.ndarray, delimiter: str) -> int | None:
    """Position of the first quote that neither opens nor closes a value nor is doubled, or None."""
    quotes = np.flatnonzero(data == _QUOTE)
    if not len(quotes):
        return None
    bounds = np.array([_LINE_FEED, ord(delimiter), _QUOTE], np.uint8)
    before = np.where(quotes > 0, data[quotes - 1], _LINE_FEED)
    after = np.where(quotes + 1 < len(data), data[np.minimum(quotes + 1, len(data) - 1)], _LINE_FEED)
    opens = np.arange(len(quotes)) % 2 == 0
    fits = np.where(opens, np.isin(before, bounds), np.isin(after, bounds))
    return None if fits.all() else int(quotes[np.argmin(fits)])
