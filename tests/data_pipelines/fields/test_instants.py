import datetime

import polars as pl
import pytest

from data_pipelines.fields.instants import NO_INSTANT, instants, written


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("YYMMDDHH", "14102123", "2014-10-21 23:00:00"),
        ("YYYYMMDDHH", "20130606000104997", "2013-06-06 00:01:04"),
        ("YYYYMMDDHH", "2013060612", "2013-06-06 12:00:00"),
        ("YYYYMMDD", "20130606", "2013-06-06 00:00:00"),
        ("iso8601", "2024-02-29", "2024-02-29 00:00:00"),
        ("iso8601", "2024-02-29T23:59:58.999+02:00", "2024-02-29 23:59:58"),
        ("iso8601", "2024-02-29 23:59", "2024-02-29 23:59:00"),
        ("unix_s", "1413932461.75", "2014-10-21 23:01:01"),
        ("unix_ms", "1413932461750", "2014-10-21 23:01:01"),
        ("%d.%m.%Y %H:%M:%S", "21.10.2014 23:01:60", "2014-10-21 23:01:59"),
        ("%d %b %Y %I:%M %p", "21 Oct 2014 11:05 pm", "2014-10-21 23:05:00"),
    ],
)
def test_times_to_the_second(form, text, expected):
    (found,) = instants(pl.Series([text]), form)
    assert written(found) == expected
    assert found == datetime.datetime.fromisoformat(expected).replace(tzinfo=datetime.timezone.utc).timestamp()


@pytest.mark.parametrize("form", ["YYMMDDHH", "iso8601", "unix_s", "%d.%m.%Y"])
def test_other_text_is_no_instant(form):
    assert instants(pl.Series(["", "x", "2014-02-30"]), form).tolist() == [NO_INSTANT] * 3
