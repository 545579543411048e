"""Plain pages that need no network: markdown, the shell of a page, and an executed notebook as a page.

Every page forbids scripts and requests by its content security policy; whatever came from records or notebooks is
escaped or reduced to harmless tags.
"""

import re
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TEXT_TAGS = (
    "a abbr b blockquote br code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup ul"
)
TABLE_TAGS = "caption col colgroup table tbody td tfoot th thead tr"
ATTRIBUTES = {
    "*": ["class", "title", "id"],
    "a": ["href"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}


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
    """Markdown as HTML; HTML inside it is shown as text, links other than to pages lead nowhere."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    return str(MarkdownWithMath(renderer=IPythonRenderer(escape=True)).render(text))


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
    """The notebook's cells as HTML: text, code and outputs, without scripts, styles and foreign pictures."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.SanitizeHTML.enabled = True
    config.SanitizeHTML.tags = {*TEXT_TAGS.split(), *TABLE_TAGS.split()}
    config.SanitizeHTML.attributes = ATTRIBUTES
    config.SanitizeHTML.strip = True
    config.HTMLExporter.preprocessors = [_without_styles]
    body, _ = HTMLExporter(config=config, template_name="basic").from_notebook_node(
        nbformat.read(notebook, as_version=4)
    )
    return body.replace("<table", '<div class="scroll"><table').replace("</table>", "</table></div>")


def _without_styles(notebook: Any, resources: Any) -> tuple[Any, Any]:
    """Drop `<style>` elements (pandas writes one before each table), whose text sanitizing would leave behind."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        if "text/html" in data:
            data["text/html"] = re.sub(r"(?is)<(style|script)\b.*?</\1\s*>", "", data["text/html"])
    return notebook, resources
