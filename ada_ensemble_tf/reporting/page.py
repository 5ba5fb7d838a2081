"""A page of HTML that is one file: figures inline as SVG, style inline, no scripts, nothing fetched."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from ada_ensemble_tf.reporting.figures import svg
from data_pipelines.output import write_complete

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1d2330; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; padding-bottom: .2rem; border-bottom: 2px solid #0072b2; }
p { margin: .5rem 0; max-width: 50rem; }
.subtitle, .caption, figcaption { color: #59616f; font-size: .87rem; }
nav { font-size: .87rem; margin: .8rem 0; }
nav a { color: #0072b2; text-decoration: none; margin-right: .9rem; white-space: nowrap; }
figure { margin: .8rem 0; overflow-x: auto; }
figure svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; margin: .7rem 0; font-variant-numeric: tabular-nums; }
.caption { margin: 1.1rem 0 -.4rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid #e4e6ea; vertical-align: top;
  white-space: nowrap; }
th { font-weight: 600; border-bottom-color: #8a8f98; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td.text { max-width: 40rem; white-space: normal; overflow-wrap: break-word; }
pre { font-size: .84rem; background: #f6f7f9; padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; }
td a { color: #0072b2; }
details { margin: .7rem 0; }
summary { cursor: pointer; color: #0072b2; font-size: .87rem; }
ul.findings { list-style: none; padding: 0; }
ul.findings li { margin: .45rem 0; padding: .45rem .8rem; border-left: 5px solid #8a8f98; background: #f6f7f9; }
ul.findings li.problem { border-left-color: #d55e00; background: #fdf1ea; }
ul.findings li.good { border-left-color: #009e73; background: #edf8f4; }
@media print {
  body { font-size: 10.5pt; margin: 0; max-width: none; }
  nav { display: none; }
  details::details-content { content-visibility: visible; display: block; }
  td { white-space: normal; }
  figure, tr, li { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
# With this, the browser itself makes sure that nothing is fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Link(NamedTuple):
    """A table's cell that leads to another page."""

    text: str
    address: str
    """Relative to the page."""


Cell = str | Link


class Page:
    """Content is added from top to bottom.

    Args:
        title: the page's title.
        subtitle: a line below it.
    """

    def __init__(self, title: str, subtitle: str):
        self._title, self._subtitle = title, subtitle
        self._sections: list[tuple[str, str]] = []
        self._body: list[str] = []
        self._figures: set[str] = set()

    def section(self, name: str, title: str) -> None:
        """Begins a section; `name` is its anchor."""
        self._sections.append((name, title))
        self._body.append(f'<h2 id="{name}">{html.escape(title)}</h2>')

    def text(self, text: str) -> None:
        """Adds a paragraph."""
        self._body.append(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        """Adds text to copy, such as a command."""
        self._body.append(f"<pre>{html.escape(text)}</pre>")

    def details(self, summary: str, text: str) -> None:
        """Adds text to copy that a click opens."""
        self._body.append(f"<details><summary>{html.escape(summary)}</summary><pre>{html.escape(text)}</pre></details>")

    def findings(self, findings: Sequence[tuple[str, str, str]]) -> None:
        """Adds a list of (severity, kind, message); severities are "problem", "note" and "good"."""
        items = [
            f'<li class="{severity}" data-kind="{kind}"><strong>{severity}</strong>: {html.escape(message)}</li>'
            for severity, kind, message in findings
        ]
        self._body.append('<ul class="findings">' + "\n".join(items) + "</ul>")

    def figure(self, figure: Figure, name: str, description: str) -> None:
        """Adds a figure.

        Args:
            figure: the figure.
            name: its id after "figure-", unique on the page.
            description: what it shows: its caption, and its title for those who cannot see it.

        Raises:
            ValueError: if the page has a figure of that name.
        """
        if name in self._figures:
            raise ValueError(f"each figure needs a name of its own; received {name!r} twice")
        self._figures.add(name)
        caption = f"<figcaption>{html.escape(description)}</figcaption>"
        self._body.append(f'<figure id="figure-{name}">{svg(figure, name, description)}{caption}</figure>')

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "", text_columns: int = 1
    ) -> None:
        """Adds a table; the first `text_columns` columns are text, the others numbers already written out."""

        def line(tag: str, cells: Sequence[Cell]) -> str:
            kinds = [' class="text"' if i < text_columns else "" for i in range(len(cells))]
            return "".join(f"<{tag}{kind}>{_inside(c)}</{tag}>" for kind, c in zip(kinds, cells, strict=True))

        body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        head = f"<thead><tr>{line('th', headings)}</tr></thead>"
        # Not a <caption>, which would be no wider than its table.
        above = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
        self._body.append(f'{above}<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>')

    def html(self) -> str:
        """The page's text."""
        links = "\n".join(f'<a href="#{name}">{html.escape(title)}</a>' for name, title in self._sections)
        return "\n".join(
            [
                '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{html.escape(self._title)}</title><style>{_STYLE}</style></head><body>",
                f'<h1>{html.escape(self._title)}</h1><p class="subtitle">{html.escape(self._subtitle)}</p>',
                f"<nav>{links}</nav>",
                *self._body,
                "</body></html>\n",
            ]
        )

    def write(self, path: Path) -> None:
        """Writes the file, which appears only when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_complete(path, self.html())


def _inside(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f'<a href="{html.escape(cell.address)}">{html.escape(cell.text)}</a>'
    return html.escape(cell)
