"""Pages and tables from Jinja2's templates, escaped by default; markdown; and an executed notebook as a page.

Every page forbids scripts and requests by its content security policy; what came from records or notebooks is escaped
or reduced to harmless tags before.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from optima_lab.files import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s "
    "span strong sub sup table tbody td tfoot th thead tr ul"
)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SCROLL = '<div class="scroll" tabindex="0">'
WIDGET = re.compile(r"<pre>[\w ]*: drawn in JupyterLab, and on the page (\w+)\.html\s*</pre>")  # its own words
ATTRIBUTES = {"class", "title", "id", "colspan", "rowspan", "scope", "alt", "width", "height"}


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, 'col' or 'row' where it heads one, css classes, a link with a faint addition."""

    text: str
    header: str = ""
    css: str = ""
    link: str = ""
    faint: str = ""


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE / "templates")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["path"] = quote
    return jinja


def render(template: str, **values: object) -> Markup:
    """A template of `templates/` with these values; whatever is no Markup is escaped.

    Pages that extend `base.html` need `title` and `mark`, which says what a page was made from.
    """
    return Markup(_templates().get_template(template).render({"look": Markup(stylesheet()), **values}))


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]], css: str, caption: str = "") -> Markup:
    """An HTML table; one without rows says that nothing is recorded."""
    return render("table.html", head=head, rows=list(rows), css=css, caption=caption)


@cache
def stylesheet() -> str:
    """The look of the gallery and of notebooks' pages."""
    return (HERE / "gallery.css").read_text(encoding="utf-8")


def markdown(text: str) -> Markup:
    """Markdown as harmless HTML; HTML inside it is shown as text."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    return harmless(str(MarkdownWithMath(renderer=IPythonRenderer(escape=True)).render(text)))


def harmless(html: str) -> Markup:
    """HTML without scripts, styles, event handlers, foreign pictures, and links that do more than lead somewhere."""
    from nh3 import clean

    allowed = {"*": ATTRIBUTES, "img": {"src"}, "a": {"href"}}
    schemes = {"http", "https", "mailto", "data"}
    html = html.encode("utf-8", "replace").decode()  # halves of surrogate pairs, which a broken record may hold
    html = clean(
        html, set(TAGS.split()), attributes=allowed, attribute_filter=_value, url_schemes=schemes, link_rel=None
    )
    return Markup(re.sub(r"<img(?![^>]* src=)[^>]*>", "", html))


def _value(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute, None where it goes: pictures are inside the page, links lead out of it."""
    inside = value.lower().lstrip().startswith("data:")
    foreign = (tag, name) == ("img", "src") and not value.startswith("data:image/")
    return None if foreign or ((tag, name) == ("a", "href") and inside) else value


def scrolling(html: Markup) -> Markup:
    """Wide tables scroll by themselves, so that the page does not."""
    return Markup(str(html).replace("<table", f"{SCROLL}<table").replace("</table>", "</table></div>"))


def notebook_page(notebook: Path, home: str = "../index.html") -> Path:
    """An executed notebook as `<name>.html` beside it. Not written again where the notebook has not changed."""
    target = notebook.with_suffix(".html")
    frame = "".join((HERE / "templates" / name).read_text(encoding="utf-8") for name in ("base.html", "notebook.html"))
    mark = sha256(notebook.read_bytes() + (stylesheet() + frame + WIDGET.pattern).encode()).hexdigest()[:16]
    if target.exists() and f'content="optima-lab {mark}"' in target.read_text(encoding="utf-8")[:1000]:
        return target
    cells, smoke, error = _cells(notebook)
    cells = _with_widgets(cells, notebook.parent, home)
    values = {"title": notebook.stem, "mark": mark, "home": home, "name": notebook.name, "smoke": smoke}
    return write_text(target, render("notebook.html", cells=cells, error=error, **values))


def _with_widgets(cells: Markup, folder: Path, home: str) -> Markup:
    """Widgets in a frame, where their page is written: the same arrays, drawn by the same code."""

    def frame(match: re.Match[str]) -> str:
        page = home.replace("index", match[1]) if match[1] == "playground" else f"{match[1]}.html"
        framed = f'<iframe class="widget" src="{page}" title="{match[1]}"></iframe>'
        return framed if (folder / page).is_file() else match[0]

    return Markup(WIDGET.sub(frame, str(cells)))


def _cells(notebook: Path) -> tuple[Markup, bool, str]:
    """The notebook's text, code and outputs, and whether it is of a smoke run; for a file that is none, why."""
    import nbformat
    from nbconvert import HTMLExporter

    try:
        node = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its parsers raise
        return Markup(), False, str(error)[:300] or type(error).__name__
    exporter = HTMLExporter(template_name="basic", log=logging.Logger("quiet", logging.ERROR))
    for output in (output for cell in node.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop(WIDGET_VIEW, None)  # what stands beside it as text is shown
    parameters = dict(node.metadata.get("optima_lab", {}).get("parameters", {}))
    cells = harmless(str(exporter.from_notebook_node(node)[0]))
    return scrolling(cells), parameters.get("preset") == "smoke", ""
