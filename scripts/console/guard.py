"""Who may ask the page: this machine's browser, from the page itself. Other hosts' names, other sites' forms and frames are refused.

A page of another site may send requests to 127.0.0.1 (cross-site request forgery), or have its own name point there (DNS rebinding). The
first shows in the Origin, the second in the Host.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

HERE = ("127.0.0.1", "localhost")
MOST_BYTES = 4 << 20
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def refusal(method: str, headers: Mapping[str, str], port: int) -> str | None:
    """Why a request is not answered, or None. headers: with small letters."""
    hosts = {f"{name}:{port}" for name in HERE} | (set(HERE) if port == 80 else set())
    if headers.get("host") not in hosts:
        return "the page answers to 127.0.0.1 and localhost alone"
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    is_visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not is_visit:
        return "the request comes from another site"
    if method not in ("GET", "HEAD"):
        if origin not in {f"http://{host}" for host in hosts}:
            return "what changes something must come from the page itself"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return "the request is too long"
    return None


def guarded(app: FastAPI, port: int) -> None:
    """Makes the app refuse what `refusal` says, and tell browsers to load nothing from elsewhere."""

    async def checked(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        why = refusal(request.method, request.headers, port)
        response = PlainTextResponse(f"Refused: {why}.\n", 403) if why is not None else await call_next(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if not request.url.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    app.middleware("http")(checked)
