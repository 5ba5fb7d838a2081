"""Reads raw logs byte by byte in plain Python, to check the fast reader, with which it shares no code."""

import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

BLANKS = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class FileError(Exception):
    """A misplaced quote: the rest of the file cannot be divided into rows. `args[0]` is the line."""


@dataclass(frozen=True)
class Row:
    """A row's first line, and its values, or None if it is not a row. Bytes that are not UTF-8 are surrogates."""

    line: int
    values: list[str] | None


def parse(data: bytes, delimiter: str, quoted: bool, columns: int, skip_header: bool) -> Iterator[Row]:
    """The rows of a text file. Raises FileError."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\0")
    if data and not data.endswith(b"\n"):
        data += b"\n"
    line = 1
    for number, record in enumerate(_quoted(data, delimiter.encode()) if quoted else _plain(data, delimiter.encode())):
        values, length = record
        if number or not skip_header:
            texts = [value.decode(errors="surrogateescape") for value in values]
            yield Row(line, texts if len(texts) == columns and values != [b""] else None)
        line += length


def _plain(data: bytes, delimiter: bytes) -> Iterator[tuple[list[bytes], int]]:
    for line in data.split(b"\n")[:-1]:
        yield line.split(delimiter), 1


def _quoted(data: bytes, delimiter: bytes) -> Iterator[tuple[list[bytes], int]]:
    """(values, lines) of each record, by a machine of three states: outside, in quotes, behind a closing quote."""
    at, line = 0, 1
    while at < len(data):
        values, first, value, state = [], line, bytearray(), "start"
        while True:
            if at == len(data):
                raise FileError(first)
            char = data[at : at + 1]
            at += 1
            if state == "in":
                if char == b'"' and data[at : at + 1] == b'"':
                    value += b'"'
                    at += 1
                elif char == b'"':
                    state = "behind"
                else:
                    line += char == b"\n"
                    value += char
            elif char in (delimiter, b"\n"):
                values.append(bytes(value))
                value, state = bytearray(), "start"
                if char == b"\n":
                    line += 1
                    break
            elif char == b'"' and state == "start":
                state = "in"
            elif char == b'"' or state == "behind":
                raise FileError(line)
            else:
                state = "out"
                value += char
        yield values, line - first


def is_utf8(text: str) -> bool:
    """Whether the bytes of a text were UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def label(text: str) -> int | None:
    """1, 0, or None if it is not a label."""
    text = text.strip(BLANKS)
    if re.fullmatch(r"-?(0|[1-9][0-9]*)\.0+", text, re.ASCII):
        text = text.split(".")[0].replace("-0", "0")
    if re.fullmatch(r"(true|True|TRUE|false|False|FALSE)", text):
        return int(text.lower() == "true")
    if re.fullmatch(r"1\.0+[eE]\+?0?0", text):
        return 1
    return {"0": 0, "1": 1}.get(text)


def integer(text: str) -> bool:
    """Whether it is an int64 or missing."""
    return not text or (bool(re.fullmatch(r"-?[0-9]+", text, re.ASCII)) and -(2**63) <= int(text) < 2**63)


def price(text: str) -> bool:
    """Whether it is an integer of any size, missing or null."""
    return text in ("", "null") or bool(re.fullmatch(r"-?[0-9]+", text, re.ASCII))


def number(text: str) -> bool:
    """Whether it is a number or missing."""
    readable = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text, re.ASCII)
    return bool(readable) or text.lower() in ("", "nan", "+nan", "-nan")


def short_hour(text: str) -> bool:
    """Whether it is YYMMDDHH, of a year from 2000 on, or missing."""
    digits = text.isascii() and text.isdigit() and len(text) == 8
    return not text or (digits and _of_calendar("20" + text[:2], text[2:4], text[4:6], text[6:8]))


def long_hour(text: str) -> bool:
    """Whether it is YYYYMMDDHH with up to seven further digits, or missing."""
    digits = text.isascii() and text.isdigit() and 10 <= len(text) <= 17 and text[:2] in ("19", "20")
    return not text or (digits and _of_calendar(text[:4], text[4:6], text[6:8], text[8:10]))


def iso_time(text: str) -> bool:
    """Whether it is YYYY-MM-DD with an hour and anything after it, or without, or missing."""
    found = re.fullmatch(r"((?:19|20)\d\d)-(\d\d)-(\d\d)(?:[T ](\d\d)(?:[^0-9\n][^\n]*)?)?", text, re.ASCII)
    return not text or (found is not None and _of_calendar(found[1], found[2], found[3], found[4] or "00"))


def _of_calendar(year: str, month: str, day: str, hour: str) -> bool:
    try:
        datetime.datetime(int(year), int(month), int(day), int(hour))
    except ValueError:
        return False
    return True


def category(text: str) -> str:
    """The one text of a category."""
    if text in ("nan", "NaN", "-nan", "-NaN"):
        return ""
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    if re.fullmatch(r"-?(0|[1-9][0-9]*)\.0+", text, re.ASCII):
        return str(int(Decimal(text)))
    if re.fullmatch(r"-?[1-9](\.[0-9]+[eE]\+?|[eE]\+)[0-9]{1,2}", text, re.ASCII):
        v = float(text)
        return str(int(v)) if v == int(v) and abs(v) < 2**63 else text
    return text


KINDS: dict[str, Callable[[str], bool]] = {
    "text": lambda text: True,
    "integer": integer,
    "price": price,
    "number": number,
    "YYMMDDHH": short_hour,
    "YYYYMMDDHH": long_hour,
    "iso8601": iso_time,
}
