"""A real chromium for tests: it fails on any error of a page and on any request that leaves this machine."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SIZE = {"width": 1280, "height": 720}
LOOPBACK = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")
OUTPUT = Path(__file__).parents[1] / "tests-output"  # screenshots to look at; git ignores it
PATIENCE = 60  # seconds that a busy machine may take for anything


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Any, offline: bool = False, **options: Any) -> Iterator[Any]:
    """A page in a window of 1280 × 720. On leaving: no error was thrown, nothing beyond loopback was asked for.

    `offline` refuses every request but those for files. What a page's own policy refused (CSP) never left it.
    """
    context = browser.new_context(viewport=SIZE, **options)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    errors, asked, refused = [], [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: refused.append(request.url) if request.failure == "csp" else None)
    page.on("websocket", lambda socket: asked.append(socket.url))
    if offline:
        context.set_offline(True)
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    try:
        yield page
        assert not errors, errors
        assert [url for url in asked if not url.startswith(LOOPBACK) and url not in refused] == []
        if offline:
            assert len(asked) == 1 and asked[0].startswith("file:"), asked
    finally:
        context.close()


def shot(page: Any, name: str) -> Path:
    """A screenshot for a person to look at, `tests-output/<name>.png`."""
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / f"{name}.png"
    page.screenshot(path=path)
    return path


def pixels(page: Any, which: int = 0) -> str:
    """What a canvas shows now, to be compared; waits for its first picture (an empty canvas is 300 wide)."""
    page.wait_for_function("(n) => document.querySelectorAll('.ol canvas')[n]?.width !== 300", arg=which)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.locator(".ol canvas").nth(which).evaluate("(canvas) => canvas.toDataURL()"))


CONTRASTS = """() => {
  const colours = getComputedStyle(document.querySelector('.ol'));
  const pen = document.createElement('canvas').getContext('2d');
  const linear = (share) => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  const luminance = (name) => {
    pen.fillStyle = colours.getPropertyValue(`--ol-${name}`).trim();
    const [r, g, b] = [1, 3, 5].map((i) => linear(parseInt(pen.fillStyle.slice(i, i + 2), 16) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const texts = ['ink', 'faint', 'focus', 'lit', 'bad'].flatMap((text) => ['paper', 'soft'].map((on) => [text, on]));
  return Object.fromEntries(texts.map(([text, on]) => [`${text} on ${on}`, contrast(luminance(text), luminance(on))]));
}"""


def contrasts(page: Any) -> dict[str, float]:
    """WCAG's contrast (1 to 21; 4.5 for text) of a widget's text colours on its grounds, in the page's theme now."""
    return dict(page.evaluate(CONTRASTS))


def wait(page: Any, what: str, source: str, given: Any = None, seconds: float = PATIENCE) -> Any:
    """What a JavaScript function of `given` promises; TimeoutError says `what` was waited for in vain.

    Playwright's own `evaluate` would wait for ever.
    """
    late = f"setTimeout(() => done({{ late: true }}), {1000 * seconds})"
    answer = page.evaluate(
        f"""(given) => Promise.race([
            Promise.resolve(({source})(given)).then((value) => ({{ value }})),
            new Promise((done) => {late}),
        ])""",
        given,
    )
    if "late" in answer:
        raise TimeoutError(f"{what}: waited {seconds:g} s in vain")
    return answer.get("value")


def until(page: Any, what: str, condition: str) -> None:
    """Wait for a JavaScript function to be true, also over a change of page; TimeoutError says `what` did not come."""
    from playwright.sync_api import TimeoutError as Late

    try:
        page.wait_for_function(condition)
    except Late:
        raise TimeoutError(f"{what}: waited {PATIENCE} s in vain at {page.url}") from None


def call(page: Any, source: str, expression: str, **given: Any) -> Any:
    """The value of a JavaScript expression after `source`; `given` are its constants, as JSON."""
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
    return page.evaluate(f"() => {{\n{source}\n{constants}return {expression};\n}}")


def number(text: str) -> float:
    """A number as the page writes it; NaN for its dash."""
    return float("nan") if text.strip() == "–" else float(text.replace("−", "-"))
