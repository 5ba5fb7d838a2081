"""How a field's text is read before its rule: blanks, missing values, numbers and times written in another way.

Of a text, in this order: blanks around it go (`trim`), one of the tokens of `missing` becomes "", and a number or time
is rewritten as the rules read it. Text that is no number or time so written is `UNREADABLE`. Numbers have `decimal`
between their whole part and fraction, and may have `thousands` between groups of three digits: with "," and "." both
"1.234,5" and "1234,5" are 1234.5, and "1.23,4" is unreadable.

"inf" and "Infinity" are numbers in no reading: whether an infinite value is a very large one or a failed division is
not known here, so a log that has them lists them under `missing`, or its rows are bad. "NaN" is always missing.
`ada_ensemble_tf.inference.readings` reads the same in the graph.
"""

import dataclasses

import polars as pl

from data_pipelines.errors import UserError
from data_pipelines.fields.times import canonical_times, time_form

UNREADABLE = "unreadable\n"
"""Of text that is not of the rule's kind; not in any vocabulary, as it holds a line end."""
MISSING_NUMBER = r"^([+-]?[nN][aA][nN])?$"
BLANKS = "^[ \t]+|[ \t]+$"
"""Regular expression of the blanks that are trimmed."""
THOUSANDS = (".", ",", " ", "'", "’", "_", "\u00a0", "\u202f")
"""Separators of thousands that there are; the last two are blanks that do not break."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a field's text is read.

    Attributes:
        missing: texts that mean a missing value, beside "".
        trim: whether blanks and tabs around the text do not count.
        decimal: of numbers, "." or ",".
        thousands: of numbers, one of `THOUSANDS`; "" where there is none.
        time: of times, their form (`times.time_form`); "" where there are none, or the form is not declared.
    """

    missing: tuple[str, ...] = ()
    trim: bool = False
    decimal: str = "."
    thousands: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for values out of range."""
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
        """Whether numbers are written in another way than the rules read them."""
        return self.decimal != "." or bool(self.thousands)

    @property
    def number(self) -> str:
        """Regular expression of numbers so written."""
        whole = rf"[0-9]{{1,3}}(?:[{self.thousands}][0-9]{{3}})+|[0-9]+" if self.thousands else "[0-9]+"
        return rf"^[+-]?(?:(?:{whole})(?:[{self.decimal}][0-9]*)?|[{self.decimal}][0-9]+)(?:[eE][+-]?[0-9]+)?$"


PLAIN = Reading()
"""Text is read as it is."""


def read(text: pl.Series, reading: Reading) -> pl.Series:
    """What the rules read of each text [n]."""
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
    """A number's plain text as the reading has it."""
    return number.replace(".", reading.decimal)
