"""iPinYou Global RTB Bidding Algorithm Competition (2013), as two raw formats with the same 16 fields.

* "ipinyou": train.log.txt and test.log.txt as the public make-ipinyou-data scripts write them: tab-separated with a
  header of 27 columns, click, weekday (0 is Sunday) and hour before the log's own 24.
* "ipinyou_contest": the contest's impression logs imp.<date>.txt(.bz2): the 24 columns without a header. The labels
  are in the click logs clk.<date>.txt(.bz2) of the same form: an impression was clicked if one of them has its bid id
  (and creative, as the scripts above do it; an auction's impressions share a bid id). weekday and hour come from
  the timestamp. The second and third season's logs have this form; the first season's lack advertiser and user tags.

The 16 fields are those of the benchmark that AdaEnsemble (arXiv 2301.08353, section 4.1) follows (Zhang et al., arXiv
1407.7073), except the user tags, which are sequences: user agents reduced to operating system and browser, floor
prices of the slot to five buckets. Columns that name the row (bidid, ipinyouid, url, urlid), are known only
after the auction (payprice) or are set by the bidder (bidprice) are left out; so are timestamp, logtype and keypage.
"""

from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.readings import Reading

_LOG_COLUMNS = (
    *("bidid", "timestamp", "logtype", "ipinyouid", "useragent", "IP", "region", "city", "adexchange", "domain"),
    *("url", "urlid", "slotid", "slotwidth", "slotheight", "slotvisibility", "slotformat", "slotprice", "creative"),
    *("bidprice", "payprice", "keypage", "advertiser", "usertag"),
)
FORMAT = RawFormat(name="ipinyou", label="click", has_header=True)
CONTEST_FORMAT = RawFormat(name="ipinyou_contest", label="click", columns=_LOG_COLUMNS, click_key=("bidid", "creative"))
_TIMES = (Input("weekday", "weekday"), Input("hour", "hour"))
_TIMESTAMP = Reading(time="YYYYMMDDHH")
_CONTEST_TIMES = (
    Input("weekday", "timestamp", "weekday", reading=_TIMESTAMP),
    Input("hour", "timestamp", "hour_of_day", reading=_TIMESTAMP),
)
_OTHERS = (
    Input("useragent", "useragent", "os_browser"),
    *(Input(name, name) for name in ("IP", "region", "city", "adexchange", "domain", "slotid")),
    *(Input(name, name) for name in ("slotwidth", "slotheight", "slotvisibility", "slotformat")),
    Input("slotprice", "slotprice", "price_bucket"),
    *(Input(name, name) for name in ("creative", "advertiser")),
)


def inputs(contest: bool = False) -> tuple[Input, ...]:
    """The 16 fields, of the contest's own logs or of the scripts' files."""
    return (_CONTEST_TIMES if contest else _TIMES) + _OTHERS
