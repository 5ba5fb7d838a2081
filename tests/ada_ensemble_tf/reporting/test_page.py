import numpy as np
import pytest
from html_reading import Reading

from ada_ensemble_tf.reporting.figures import new_figure
from ada_ensemble_tf.reporting.page import Page


def a_figure():
    figure, (axes,) = new_figure()
    axes.plot(np.arange(3), np.arange(3), marker="o")
    return figure


@pytest.fixture(scope="module")
def reading() -> Reading:
    page = Page("a <title>", "of & more")
    page.section("first", "First")
    page.findings([("problem", "flood", "1 < 2")])
    page.figure(a_figure(), "one", 'a line "up"')
    page.section("second", "Second")
    page.text("x <b>y</b>")
    page.figure(a_figure(), "two", "the same line")
    page.table(["name", "rows"], [["<script>", "1"], ["b", "2"]], "caption")
    return Reading(page.html())


def test_what_is_put_in_is_text_and_not_html(reading):
    assert reading.texts["h1"] == ["a <title>"] and "x <b>y</b>" in reading.texts["p"]
    assert reading.texts["td"] == ["<script>", "1", "b", "2"] and reading.texts["h2"] == ["First", "Second"]
    assert reading.texts["li"] == [": 1 < 2"] and "script" not in reading.texts


def test_figures_are_described_and_their_text_is_text(reading):
    assert list(reading.texts["title"]) == ["a <title>", 'a line "up"', "the same line"]
    assert "0.50" in [text.strip() for text in reading.texts["text"]]


def test_ids_are_of_one_element_each_and_nothing_points_outside(reading):
    assert len(reading.ids) == len(set(reading.ids)) > 20
    assert len(reading.addresses) > 5
    assert {address.removeprefix("#") for address in reading.addresses} <= set(reading.ids)


def test_a_page_is_the_same_each_time_and_appears_whole(tmp_path):
    texts = []
    for name in ("a", "b"):
        page = Page("t", "s")
        page.figure(a_figure(), "one", "x")
        page.write(tmp_path / "new" / f"{name}.html")
        texts.append((tmp_path / "new" / f"{name}.html").read_text())
    assert texts[0] == texts[1] and sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.html", "b.html"]


def test_two_figures_of_one_name_are_an_error():
    page = Page("t", "s")
    page.figure(a_figure(), "one", "x")
    with pytest.raises(ValueError, match="received 'one' twice"):
        page.figure(a_figure(), "one", "x")
