"""A real chromium for tests: it fails on any error of a page and on any request that leaves this machine."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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


def written(value: float) -> Any:
    """What a page's number of `value` equals: `say` (canvas.js) keeps four digits, three beside a power of ten."""
    if not value or not math.isfinite(value):
        return pytest.approx(value, abs=1e-12, nan_ok=True)
    digits = 4 if 1e-3 <= abs(value) < 1e5 else 3
    return pytest.approx(value, rel=1e-6, abs=0.5001 * 10 ** (math.floor(math.log10(abs(value))) - digits + 1))


# Every text of the page as a box: words of elements, and what was written on canvases since they were last cleared.
WATCH_TEXT = """() => {
  const written = new WeakMap();
  const kept = CanvasRenderingContext2D.prototype;
  const { fillText, clearRect, drawImage } = kept;
  kept.drawImage = function (image, ...at) { // a layer drawn as a whole brings its words
    const { a, e, d, f } = this.getTransform();
    if (at.length === 4 && written.has(image)) {
      const [x, y, w, h] = [at[0] * a + e, at[1] * d + f, (at[2] * a) / image.width, (at[3] * d) / image.height];
      const moved = written.get(image).map(({ left, right, top, bottom, text }) => (
        { left: x + w * left, right: x + w * right, top: y + h * top, bottom: y + h * bottom, text }
      ));
      written.set(this.canvas, [...(written.get(this.canvas) ?? []), ...moved]);
    }
    return drawImage.call(this, image, ...at);
  };
  kept.clearRect = function (x, y, w, h) {
    if (w > 200 && h > 100) written.set(this.canvas, []);
    return clearRect.call(this, x, y, w, h);
  };
  kept.fillText = function (text, x, y, ...more) {
    const m = this.measureText(text);
    const { a, e, d, f } = this.getTransform();
    const box = {
      left: (x - m.actualBoundingBoxLeft) * a + e, right: (x + m.actualBoundingBoxRight) * a + e,
      top: (y - m.actualBoundingBoxAscent) * d + f, bottom: (y + m.actualBoundingBoxDescent) * d + f, text,
    };
    const list = written.get(this.canvas) ?? [];
    if (text) list.push(box);
    written.set(this.canvas, list);
    return fillText.call(this, text, x, y, ...more);
  };
  window.writtenOn = (canvas) => written.get(canvas) ?? [];
}"""
TEXTS = """() => {
  const boxes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest('script, style, noscript, option, .ol-said, .skip')) continue;
    if (!parent.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const box = { left, right, top, bottom, text: node.textContent.trim().slice(0, 40) };
      for (let above = parent; above; above = above.parentElement) { // what scrolls shows a part
        if (getComputedStyle(above).overflowX === 'visible') continue;
        const seen = above.getBoundingClientRect();
        [box.left, box.right] = [Math.max(box.left, seen.left), Math.min(box.right, seen.right)];
        [box.top, box.bottom] = [Math.max(box.top, seen.top), Math.min(box.bottom, seen.bottom)];
      }
      if (box.right - box.left > 1 && box.bottom > box.top) boxes.push(box);
    }
  }
  for (const canvas of document.querySelectorAll('canvas')) {
    const at = canvas.getBoundingClientRect();
    if (!at.width || !window.writtenOn) continue;
    const scale = at.width / canvas.width;
    for (const { left, right, top, bottom, text } of window.writtenOn(canvas)) {
      const box = { left: at.left + left * scale, right: at.left + right * scale, text };
      box.cut = left < -1 || right > canvas.width + 1 || top < -1 || bottom > canvas.height + 1;
      boxes.push({ ...box, top: at.top + top * scale, bottom: at.top + bottom * scale });
    }
  }
  return boxes;
}"""


def overlaps(page: Any, slack: float = 2) -> list[str]:
    """Texts of a page that lie on one another by more than `slack` pixels each way, or that a canvas cuts off.

    What is written on canvases is known where `page.add_init_script(f"({WATCH_TEXT})()")` ran before.
    """
    boxes = page.evaluate(TEXTS)
    cut = [f"{box['text']!r} is cut" for box in boxes if box.get("cut")]
    found = [
        f"{one['text']!r} lies on {other['text']!r}"
        for number, one in enumerate(boxes)
        for other in boxes[:number]
        if min(one["right"], other["right"]) - max(one["left"], other["left"]) > slack
        and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > slack
    ]
    return cut + found
