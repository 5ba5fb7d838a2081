"""The graph reads text as preparation does: blanks, missing values, numbers and times written in any way."""

import datetime
import random

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from odd_texts import ODD, made_up

from ada_ensemble_tf.inference import readings as graph
from data_pipelines.fields.readings import UNREADABLE, Reading, read
from data_pipelines.fields.times import FORMS, canonical_times, written_time

PATTERNS = ("%d.%m.%Y %H:%M", "%m/%d/%y", "%d/%b/%Y:%H:%M:%S %z", "%A, %B %d %Y %I:%M %p", "%Y%m%d%H%M", "%%%Y-%m-%d")
ODD_TIMES = [
    "20111101", "20111101 ", "20000230", "19000229", "20000229", "1683676800", "1683676800.999", "168367680", "0", "-1",
    "1683676800000", "1683676800999", "99999999999", "9999999999", "100000000", "1.7E9", "2014-10-21T05:00+02:00",
    "2014-10-21 ", "2014-02-29", "2014-02-28T", "1.2.2014 5:07", "01.02.2014 05:07", "31.4.2014 5:07", "1.2.2014 24:00",
    "3/4/68", "3/4/69", "03/04/99", "3/4/2014", "10/Oct/2000:13:55:36 -0700", "10/OCT/2000:13:55:36 Z", "%2014-1-2",
    "10/Okt/2000:13:55:36 -0700", "Monday, march 3 2014 12:07 AM", "Monday, March 03 2014 12:07 pm", "201410212359",
    "Monday, March 3 2014 13:07 PM", "20141021235", "2014102123", "１４10２123", "Mai, May 3 2014 1:07 AM",
]  # fmt: skip
ODD_NUMBERS = [
    "NA", " NA ", "\\N", " \\N", "-", "inf", "\t12 ", "\u00a012", "1,5", "1.5", "1.234,5", "1.234.567", "1.23,4", ",5",
    "5,", ",", "-1,5e3", "+1.234,e-2", "1,234", "1,234,567.89", "12,34", "1 234,5", "1\u00a0234", "1\u202f234,5",
    "1'234.5", "1’234", "1_000", "nan", "-NaN", "1,,5", "0,000,000", "1234,567", ".1,5", "1.2345", "007,5", "１,5",
]  # fmt: skip
READINGS = [
    Reading(trim=True),
    Reading(("NA", "\\N", "-"), trim=True),
    Reading(("NA", " NA ", "inf", "é")),
    Reading(decimal=","),
    Reading(("NA",), True, ",", "."),
    *(Reading(thousands=thousands) for thousands in (",", "'", "’", "_", "\u00a0")),
    *(Reading(decimal=",", thousands=thousands) for thousands in (" ", "\u202f")),
    *(Reading(time=form) for form in (*FORMS, *PATTERNS)),
    Reading(("0", "-1"), True, time="unix_s"),
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Odd texts, and texts that are nearly numbers or times."""
    rng = random.Random(11)
    start = datetime.datetime(1970, 1, 1)
    times = [start + datetime.timedelta(hours=rng.randrange(24 * 365 * 99)) for _ in range(100)]
    written = [written_time(time, form) for time in times for form in (*FORMS, *PATTERNS)]
    return ODD + ODD_TIMES + ODD_NUMBERS + written + [made_up(rng) for _ in range(2000)]


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_agrees_with_preparation(texts, reading):
    expected = read(pl.Series(texts), reading).to_list()
    bytes_ = tf.constant([text.encode() for text in texts])
    got = [
        text.decode() for text in tf.function(lambda text: graph.read(text, reading), autograph=False)(bytes_).numpy()
    ]
    wrong = [(text[:50], one, other) for text, one, other in zip(texts, got, expected, strict=True) if one != other]
    assert wrong == []
    assert len(set(expected)) > 10 and expected != texts
    none = graph.read(tf.zeros([0], tf.string), reading)
    assert none.shape == (0,)
    graph.read(tf.constant([b"\xff", b"2014\xff", b"1,5\xff", b"\xff 1"]), reading)


@pytest.mark.parametrize("form", [*FORMS, *PATTERNS])
def test_times_are_those_of_the_calendar(form):
    """Each hour of unusual years in both readers, compared with the standard library."""
    rng = np.random.default_rng(0)
    start = datetime.datetime(2000, 1, 1)
    times = [start + datetime.timedelta(hours=int(hour)) for hour in rng.integers(0, 24 * 365 * 28, 500)]
    texts = [written_time(time, form) for time in times]
    has_hour = form not in ("YYYYMMDD", "%m/%d/%y", "%%%Y-%m-%d")
    expected = [f"{time:%Y-%m-%d %H}" if has_hour else f"{time:%Y-%m-%d}" for time in times]
    assert canonical_times(pl.Series(texts), form).to_list() == expected
    got = graph.read(tf.constant(texts), Reading(time=form)).numpy()
    assert [text.decode() for text in got] == expected


def test_unreadable_text_is_told_from_missing_text():
    reading = Reading(("NA",), trim=True, time="YYYYMMDD")
    text = ["20111101", " 20111101 ", "NA", "", "x", "20111131"]
    expected = ["2011-11-01", "2011-11-01", "", "", UNREADABLE, UNREADABLE]
    assert read(pl.Series(text), reading).to_list() == expected
    assert [one.decode() for one in graph.read(tf.constant(text), reading).numpy()] == expected
