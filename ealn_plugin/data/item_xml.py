"""The XML files of VeRI-776 and of CityFlow-ReID: one ``<Item imageName="..." .../>`` for each image."""

import codecs
from xml.parsers import expat

from ealn_plugin.data.files import malformed, undecodable


def read_items(path: str) -> list[tuple[int, dict[str, str]]]:
    """Return [(line, attributes)] of the Items of a file, each with an imageName.

    The files declare gb2312, which Python's XML parsers refuse, so they are decoded first.

    Raises:
        ValueError: for bytes that are no text, broken XML or an Item without a name, with file and line.
    """
    items = []
    parser = expat.ParserCreate("utf-8")

    def refuse_entity(name: str, *_: object) -> None:  # entities that expand to others can fill any memory
        raise malformed(path, parser.CurrentLineNumber, f"the entity {name}", "a file without entities of its own")

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Item":
            if not attributes.get("imageName"):
                line = parser.CurrentLineNumber
                raise malformed(path, line, attributes, "an Item with the attribute imageName")
            items.append((parser.CurrentLineNumber, attributes))

    parser.StartElementHandler, parser.EntityDeclHandler = start_element, refuse_entity
    try:
        parser.Parse(_decoded(path).encode("utf-8"), True)
    except expat.ExpatError as error:
        raise malformed(path, error.lineno, expat.ErrorString(error.code), "well-formed XML") from error
    return items


def _decoded(path: str) -> str:
    """Return the text of an XML file of the release: gb2312 or its superset gb18030, UTF-8 if it says so."""
    with open(path, "rb") as handle:
        raw = handle.read()
    is_utf8 = raw.startswith(codecs.BOM_UTF8) or b"utf-8" in raw[:100].lower()
    for encoding in ("utf-8-sig",) if is_utf8 else ("gb2312", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            failure = undecodable(path, raw, error, encoding)
    raise failure
