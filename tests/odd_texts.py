"""Text that is odd for one rule or another."""

import random

LARGEST = 2**63 - 1
ODD = [
    "", " ", "\t", "\n", "\r\n", "\0", "a\0b", "null", "NULL", "NaN", "nan", "-nan", "+NAN", "inf", "-Infinity",
    "=1", "log:3", "bin:0", "value", "unreadable", "unreadable\n", "true", "0x10", "1_000", "１", "٣", "1,5", "5 ",
    " 5", "5\n", "\n5", "5\0", "5\r", "--3", "-", "+", ".", "e5", "1e", "1e+", "1.e5", ".5", "5.", "+5", "-.5e-3",
    "1e5.0", "1e999", "-1e999", "1e-400", "-1e-400", "1e99999999999999999999", "0e999", "1" * 400, "-" + "1" * 400,
    "0" * 400, "0" * 400 + "7", "0." + "0" * 400 + "1", "1" * 308, "1" * 309, "1.7976931348623159e308", "4.9e-324",
    "3.0000000000000004", "9007199254740993", "9007199254740992.999", "0.1", "0.10000000000000000555", "-2.5",
    "0.09999999999999999", "-0", "-0.0", "00", "-00", "007", str(LARGEST), str(LARGEST + 1), str(-LARGEST - 1),
    str(-LARGEST - 2), "0" * 9 + str(LARGEST), "14102123", "14102124", "14130123", "14003123", "14102100\n",
    "1410212", "2014102123", "20141021230000000", "201410212300000000", "2014-10-21 23:00", "2014-10-21T05",
    "2014-10-21 2", "2014-10-21 235", "2014-10-21 23:00\n", "2014-10-21 23\n", "2014-10-21 23é", "2014-02-31 00",
    "2014-10-21 23 " + "x" * 10_000, "0099-02-28 00", "0000-01-01 00", "2000-02-29 12Z", "1900-03-01 12",
    "9999-12-31 23", "２014-10-21 23:00", "2014-10-21\t23:00", "|", "||", "|a", "a|", "a||b", "a|b|c|d|e|f", "..",
    "...", "....", "a..b", "a...b", "..a..", "a|\0|b", "\n|a", "|null|", "|".join("abcdefgh" * 600), "\ufffd",
    "..".join("abc" * 1000), "x" * 10_000, "é" * 5_000, "😀" * 2_500, '"quoted"', 'say "hi"', "'", "a\tb",
    "e\u0301", "é", "\u200d👩\u200d🔬", "\ufeff5", "\u2028", "\x85", "\x7f", "ÅK", "İOS", "日本語", "\U0010ffff",
    "100", "100.0", "100.00", "-100.0", "0.0", "-0.000", "007.0", "9007199254740993.0", "9" * 40 + ".0", "1.0\n",
    "1e+16", "1.0E16", "1e16", "10000000000000000", "1.2345678E7", "12345678", "1.2345678901234568e18", "9.3e+18",
    "1.2345678901234568e+19", "1.5e+0", "1.25E1", "68e12345", "-1e+16", "1.0e99", "9.223372036854775e18", "-NaN",
    "Nan", "True", "TRUE", "true", "False", "FALSE", "false", "tRUE", "1.0|nan|TRUE|1", "nan|NaN", "1.0..1..x",
]  # fmt: skip
AGENTS = ["Windows NT 6.1", "WINDOWS", "iOS 8", "Macintosh", "Android 4", "Linux", "KITKAT", "\u212aindows"]
BROWSERS = ["Chrome/35", "Sogou", "Maxthon", "Safari", "FIREFOX", "TheWorld", "Opera", "MSIE 9", "ſafari", "\n", "é"]


def made_up(rng: random.Random) -> str:
    """A random text of one of the kinds that rules read, or nearly."""
    digits = "".join(rng.choices("0123456789", k=rng.choice([0, 1, 2, 3, 8, 17, 20, 40])))
    kind = rng.randrange(10)
    if kind == 0:
        return str(int(rng.choice([-1, 1]) * 10 ** rng.uniform(0, 20)))
    if kind == 1:
        return rng.choice(["", "-", "+"]) + digits + rng.choice(["", ".", ".5", "." + digits])
    if kind == 2:
        return f"{rng.gauss(0, 1) * 10 ** rng.uniform(-30, 30)!r}"
    if kind == 3:
        return digits + rng.choice("eE") + rng.choice(["", "-", "+"]) + str(rng.randrange(500))
    if kind == 4:
        return f"{rng.randrange(100):02d}{rng.randrange(14):02d}{rng.randrange(33):02d}{rng.randrange(25):02d}"
    if kind == 5:
        date = f"{rng.randrange(10_000):04d}-{rng.randrange(14):02d}-{rng.randrange(33):02d}"
        time = f"{rng.randrange(25):02d}{rng.choice(['', ':59:59.9', 'Z', '日', '1'])}"
        return rng.choice([f"{date} {time}", f"{date}T{time}", f"{date}{time}".replace("-", "")])
    if kind == 6:
        return " ".join(rng.choices(AGENTS + BROWSERS, k=rng.randrange(4)))
    if kind == 7:
        return rng.choice(["|", "..", "||"]).join(
            rng.choices(["a", "b", "c", "", "null", "1", "é"], k=rng.randrange(9))
        )
    if kind == 8:
        whole = rng.choice([-1, 1]) * rng.randrange(10 ** rng.randrange(1, 21))
        return rng.choice([f"{whole}.0", f"{float(whole)}", f"{whole:e}", f"{float(whole):.16e}", f"{whole:E}", "nan"])
    points = [
        rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000), rng.randrange(128)]) for _ in range(8)
    ]
    return "".join(map(chr, points))
