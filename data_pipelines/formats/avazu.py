"""Avazu Click-Through Rate Prediction (Kaggle 2015): train (train.gz) and, without the label, test.

Comma-separated with a header of 24 columns: id, click (1 clicked, 0 not), hour (YYMMDDHH), C1, banner_pos, site_id,
site_domain, site_category, app_id, app_domain, app_category, device_id, device_ip, device_model, device_type,
device_conn_type, C14..C21. All are categories. 40,428,967 rows in the full train, 17.0 % of them clicked; ten days,
21 to 30 October 2014.

The 21 fields of AdaEnsemble's experiments (arXiv 2301.08353, section 4.1) are all columns except id, which names the
row, click, and hour, whose levels never recur. An option adds hour of day and weekday, which many others derive from
hour.
"""

from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.readings import Reading

FORMAT = RawFormat(name="avazu", label="click", delimiter=",", has_header=True)
_TIME = Reading(time="YYMMDDHH")
_SITE_AND_APP = ("site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category")
_DEVICE = ("device_id", "device_ip", "device_model", "device_type", "device_conn_type")
_ANONYMOUS = tuple(f"C{i}" for i in range(14, 22))
_COLUMNS = ("C1", "banner_pos", *_SITE_AND_APP, *_DEVICE, *_ANONYMOUS)


def inputs(with_hour: bool = False) -> tuple[Input, ...]:
    """The 21 fields, and hour_of_day and weekday before them if asked for."""
    times = tuple(Input(part, "hour", part, reading=_TIME) for part in ("hour_of_day", "weekday")) if with_hour else ()
    return times + tuple(Input(name, name) for name in _COLUMNS)
