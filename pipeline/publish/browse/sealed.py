"""What every answer of the server says to the browser: show this, run and load nothing else.

A page that shows pictures of rows has them in `data:` addresses, which its policy then allows as
images, and as nothing else.
"""

from winnow.pipeline.only_local import App, Receive, Scope, Send

POLICY = (
    "default-src 'none'; "
    "style-src 'self'; "
    "script-src 'self'; "
    "img-src 'self'; "
    "form-action 'self'; "
    "base-uri 'none'; "
    "frame-ancestors 'none'"
)
POLICY_NAME = "content-security-policy"
POLICY_WITH_PICTURES = POLICY.replace("img-src 'self'", "img-src 'self' data:")
HEADERS = {
    POLICY_NAME: POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_READING = ("GET", "HEAD")


class Sealed:
    """ASGI middleware: only requests that read, and the headers above on every answer; a page's own
    policy stands."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Scope) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                given = {name.lower() for name, _ in own}
                pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*own, *(pair for pair in pairs if pair[0] not in given)]
            await send(message)

        if scope["method"] in _READING:
            await self._app(scope, receive, sealed)
            return
        headers = [(b"content-type", b"text/plain"), (b"allow", ", ".join(_READING).encode())]
        await sealed({"type": "http.response.start", "status": 405, "headers": headers})
        await sealed({"type": "http.response.body", "body": b"This server only reads."})
