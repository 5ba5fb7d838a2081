"""Reads an HTML page for tests."""

import re
from html.parser import HTMLParser


class Reading(HTMLParser):
    """Collects ids, texts by tag, and addresses; fails where tags are not closed in order."""

    VOID = ("meta", "br")

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.addresses, self.texts, self.open = [], [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data"):
                self.addresses.append(value)
            if name in ("style", "clip-path"):
                self.addresses += re.findall(r"url\((.*?)\)", value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)
