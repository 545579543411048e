"""The live view as a page of a small server on this machine alone, for a run that any process trains."""

import json
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic
from typing import cast

from optima_lab.errors import OptimaError
from optima_lab.widgets import assets
from optima_lab.widgets.live import Live

IDLE_SECONDS = 3600.0  # without a look from a browser; then it ends by itself
POLL_SECONDS = 1.0


class WatchServer(ThreadingHTTPServer):
    """Serves one live view at `address`, which nobody can guess, until nobody looked at it for `idle` seconds.

    Raises OptimaError where the port is taken.
    """

    daemon_threads = True
    timeout = POLL_SECONDS

    def __init__(self, view: Live, port: int = 0, idle: float = IDLE_SECONDS) -> None:
        self.view, self.idle, self.looked = view, idle, monotonic()
        self.secret = token_urlsafe(12)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise OptimaError(f"port must be free, got {port}: {error.strerror}; 0 takes any that is") from None

    @property
    def address(self) -> str:
        """Where a browser of this machine finds the page."""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.secret}/"

    def serve(self) -> None:
        """Answer until nobody has looked for a while."""
        self.view.follow()
        try:
            while monotonic() - self.looked < self.idle:
                self.handle_request()
        finally:
            self.view.stop()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    @property
    def shown(self) -> WatchServer:
        return cast(WatchServer, self.server)

    def do_GET(self) -> None:
        """`/secret/` is the page, `/secret/state?N` the records, unless N looks have seen nothing newer."""
        pages: dict[str, Callable[[], tuple[str, str]]] = {"": self._page, "state": self._state}
        path, _, looks = self.path.partition("?")
        _, secret, *name = [*path.split("/"), ""]
        if secret != self.shown.secret or name[0] not in pages:
            return self.send_error(HTTPStatus.NOT_FOUND)
        self.shown.looked = monotonic()
        if name[0] == "state" and looks == str(self.shown.view.looks):
            return self._answer("", "", HTTPStatus.NO_CONTENT)
        return self._answer(*pages[name[0]]())

    def _page(self) -> tuple[str, str]:
        return "text/html", assets.page("Runs as they are trained", "replay", {}, b"", poll=POLL_SECONDS)

    def _state(self) -> tuple[str, str]:
        view = self.shown.view
        state = {"looks": view.looks, "about": view.about, "data": b64encode(view.data).decode()}
        return "application/json", json.dumps(state)

    def _answer(self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = text.encode()
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is the user's."""


def watch(runs: str | Path, port: int = 0, say: Callable[[str], None] = print) -> None:
    """Serve the newest run below `runs` until Ctrl-C, or an hour after the last look; `say` gets the address."""
    server = WatchServer(Live(runs), port)
    say(f"{server.address} shows the newest run below {runs} as it grows; Ctrl-C ends it")
    server.serve()
