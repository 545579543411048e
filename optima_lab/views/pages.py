"""Plain pages that need no network: markdown, the shell of a page, and an executed notebook as a page.

Every page forbids scripts and requests by its content security policy; what came from records or notebooks is escaped
or reduced to harmless tags before.
"""

import logging
import re
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import quote

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s "
    "span strong sub sup table tbody td tfoot th thead tr ul"
)
ATTRIBUTES = {"class", "title", "id", "colspan", "rowspan", "scope", "alt", "width", "height"}


def page(title: str, body: str, mark: str = "") -> str:
    """A whole page in light and dark. `title` is escaped, `body` is HTML, `mark` says what it was made from."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="optima-lab {escape(mark)}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{stylesheet()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


@cache
def stylesheet() -> str:
    """The look of the gallery and of notebooks' pages."""
    return Path(__file__).with_name("gallery.css").read_text(encoding="utf-8")


def markdown(text: str) -> str:
    """Markdown as harmless HTML; HTML inside it is shown as text."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    return harmless(str(MarkdownWithMath(renderer=IPythonRenderer(escape=True)).render(text)))


def harmless(html: str) -> str:
    """HTML without scripts, styles, event handlers, foreign pictures, and links that do more than lead somewhere."""
    from bleach import clean

    # pandas writes a <style> before each table; cleaning alone would leave its text behind
    html = re.sub(r"(?is)<(style|script)\b.*?</\1\s*>", "", html)
    protocols = {"http", "https", "mailto", "data"}
    html = clean(html, set(TAGS.split()), attributes=_allowed, protocols=protocols, strip=True)
    return re.sub(r"<img(?![^>]* src=)[^>]*>", "", html)


def _allowed(tag: str, name: str, value: str) -> bool:
    if (tag, name) == ("img", "src"):
        return value.startswith("data:image/")
    if (tag, name) == ("a", "href"):
        return not value.lower().lstrip().startswith("data:")
    return name in ATTRIBUTES


def scrolling(html: str) -> str:
    """Wide tables scroll by themselves, so that the page does not."""
    return html.replace("<table", '<div class="scroll" tabindex="0"><table').replace("</table>", "</table></div>")


def notebook_page(notebook: Path, home: str = "../index.html") -> Path:
    """An executed notebook as `<name>.html` beside it. Not written again where the notebook has not changed."""
    target = notebook.with_suffix(".html")
    mark = sha256(notebook.read_bytes() + stylesheet().encode()).hexdigest()[:16]
    if target.exists() and f'content="optima-lab {mark}"' in target.read_text(encoding="utf-8")[:1000]:
        return target
    links = f'<a href="{quote(home)}">← all figures</a> · <a href="{quote(notebook.name)}">notebook</a>'
    body = f'<header><p class="faint">{links}</p></header>\n<main>\n{_cells(notebook)}\n</main>'
    part = target.with_name(target.name + ".part")
    part.write_text(page(notebook.stem, body, mark), encoding="utf-8")
    part.replace(target)
    return target


def _cells(notebook: Path) -> str:
    """The notebook's text, code and outputs; for a file that is no notebook, that it is none."""
    import nbformat
    from nbconvert import HTMLExporter

    try:
        node = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its parsers raise
        return f'<p class="failed">{escape(notebook.name)} is no notebook: {escape(str(error)[:300])}</p>'
    exporter = HTMLExporter(template_name="basic", log=logging.Logger("quiet", logging.ERROR))
    return scrolling(harmless(str(exporter.from_notebook_node(node)[0])))
