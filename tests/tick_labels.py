"""Where the labels of a figure's ticks are."""

from collections.abc import Iterator

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox


def colliding(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of neighbouring tick labels of an axis that overlap when the figure is drawn."""
    figure.draw_without_rendering()
    found = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            boxes = sorted(_boxes(axis), key=lambda one: (one[1].x0, one[1].y0))
            found += [
                (one, other)
                for (one, box), (other, next_box) in zip(boxes, boxes[1:], strict=False)
                if box.overlaps(next_box)
            ]
    return found


def _boxes(axis) -> Iterator[tuple[str, Bbox]]:
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        text = tick.label1
        if text.get_visible() and text.get_text() and low <= tick.get_loc() <= high:
            yield text.get_text(), text.get_window_extent()
