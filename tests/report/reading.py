"""A page as a reader without a browser has it: headings, tables, ids and words."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "path"}


class Page(HTMLParser):
    """Elements of a page, and whether they are nested well."""

    def __init__(self, text):
        super().__init__()
        self.text, self.open, self.elements = text, [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every element ends"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "words": "", "above": [one["tag"] for one in self.open], **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "words": "", "above": [one["tag"] for one in self.open], **dict(attributes)})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for one in self.open:
            one["words"] += data

    def of(self, *tags):
        return [one for one in self.elements if one["tag"] in tags]

    def words(self, *tags):
        return [" ".join(one["words"].split()) for one in self.of(*tags)]

    @property
    def ids(self):
        return [one["id"] for one in self.elements if "id" in one]
