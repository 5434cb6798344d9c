"""Pages of the project's root on the site, and links that lead there.

In the repository README.md, datasets.md and others lie beside docs/, and pages link to them, and to files of code, by
relative paths. On the site those pages have a place of their own, and code has none: of a link to it the text is left.
"""

import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "RESULTS.md": "results.md",
    "datasets.md": "datasets.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""{page of the root: its place on the site}"""
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files, config):
    """Add the pages of the root."""
    for name, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """The page with its links as the site needs them."""
    return with_links(markdown, page.file.src_uri, {file.src_uri for file in files})


def with_links(markdown, place, known):
    """A page's text, its links and pictures leading to places of the site.

    Args:
        markdown: text with links as in the repository. place: of the page on the site. known: all places there.
    """
    source = next((name for name, other in PAGES.items() if other == place), posixpath.join("docs", place))

    def there(match):
        mark, text, target = match.groups()
        path, sign, part = target.partition("#")
        if "://" in target or not path:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        path = PAGES.get(path, path.removeprefix("docs/"))
        if path not in known:
            return text
        return f"{mark}[{text}]({posixpath.relpath(path, posixpath.dirname(place) or '.')}{sign}{part})"

    return _LINK.sub(there, markdown)
