"""How a field's text is rewritten before its rule applies: blanks, missing values, numbers and times.

The steps are, in this order: `trim` removes blanks around the text; a text listed in `missing` becomes ""; a number or
time is rewritten in the form that the rules read. Text that is not a number or time of the declared form becomes
`UNREADABLE`. Numbers have `decimal` between whole part and fraction and may have `thousands` between groups of three
digits. With "," and ".", both "1.234,5" and "1234,5" are 1234.5, and "1.23,4" is unreadable.

No reading takes "inf" or "Infinity" for a number, because an infinite value may be a very large one or a failed
division. A log that has them must list them in `missing`; otherwise their rows are bad. "NaN" is always missing.
`ada_ensemble_tf.inference.readings` reads the same in the graph.
"""

import dataclasses

import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.times import canonical_times, time_form

UNREADABLE = "unreadable\n"
"""Stands for text that is not of the rule's kind. It holds a line end, so no vocabulary has it."""
MISSING_NUMBER = r"^([+-]?[nN][aA][nN])?$"
BLANKS = "^[ \t]+|[ \t]+$"
"""Matches the blanks that `trim` removes."""
THOUSANDS = (".", ",", " ", "'", "’", "_", "\u00a0", "\u202f")
"""The known separators of thousands; the last two are non-breaking spaces."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a field's text is read.

    Attributes:
        missing: texts that mean a missing value, beside "".
        trim: whether blanks and tabs around the text are ignored.
        decimal: "." or ",", between a number's whole part and its fraction.
        thousands: one of `THOUSANDS`, between groups of three digits; "" if there is no separator.
        time: the form of times (`times.time_form`); "" for fields without times, or if the form is not declared.
    """

    missing: tuple[str, ...] = ()
    trim: bool = False
    decimal: str = "."
    thousands: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for invalid values."""
        if self.decimal not in (".", ","):
            raise UserError(f"'decimal' should be '.' or ',', got {self.decimal!r}")
        if self.thousands and (self.thousands not in THOUSANDS or self.thousands == self.decimal):
            known = " ".join(f"'{one}'" for one in THOUSANDS[:-2])
            raise UserError(f"'thousands' should be one of {known} and not 'decimal', got {self.thousands!r}")
        if any("\n" in token or "\0" in token for token in self.missing):
            raise UserError(f"'missing' should be texts without line ends, got {list(self.missing)}")
        if self.time:
            time_form(self.time)

    @property
    def rewrites_numbers(self) -> bool:
        """Whether numbers are not written as the rules read them."""
        return self.decimal != "." or bool(self.thousands)

    @property
    def number(self) -> str:
        """Matches numbers that are written in this way."""
        whole = rf"[0-9]{{1,3}}(?:[{self.thousands}][0-9]{{3}})+|[0-9]+" if self.thousands else "[0-9]+"
        return rf"^[+-]?(?:(?:{whole})(?:[{self.decimal}][0-9]*)?|[{self.decimal}][0-9]+)(?:[eE][+-]?[0-9]+)?$"


PLAIN = Reading()
"""Leaves text as it is."""


def read(text: pl.Series, reading: Reading) -> pl.Series:
    """Each text [n] in the form that the rules read."""
    if reading == PLAIN:
        return text
    if reading.trim or reading.missing:
        text = text.alias("text").to_frame().select(_without_blanks_and_tokens(pl.col("text"), reading)).to_series()
    if reading.time:
        return canonical_times(text, reading.time).set(text == "", "").fill_null(UNREADABLE)
    if reading.rewrites_numbers:
        fits = text.str.contains(reading.number)
        plain = text.str.replace_all(reading.thousands, "", literal=True) if reading.thousands else text
        plain = plain.str.replace(reading.decimal, ".", literal=True)
        return plain.zip_with(fits, text.set(~fits & ~text.str.contains(MISSING_NUMBER), UNREADABLE))
    return text


def read_lists(lists: pl.Series, reading: Reading) -> pl.Series:
    """Lists [n] of the values of a multi-valued field, with blanks and missing tokens of each value read."""
    if not reading.trim and not reading.missing:
        return lists
    return lists.list.eval(_without_blanks_and_tokens(pl.element(), reading))


def _without_blanks_and_tokens(text: pl.Expr, reading: Reading) -> pl.Expr:
    if reading.trim:
        text = text.str.replace_all(BLANKS, "")
    if reading.missing:
        text = pl.when(text.is_in(list(reading.missing))).then(pl.lit("")).otherwise(text)
    return text


def written_number(number: str, reading: Reading) -> str:
    """A plain number as the reading writes it."""
    return number.replace(".", reading.decimal)
