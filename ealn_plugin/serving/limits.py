"""What is refused before anybody reads it: bodies that are too large, and names that the server does not go by."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any

_DROPPED = 4  # so many times the limit


class _TooLarge(Exception):
    pass


class LimitedBody:
    """ASGI middleware: a request whose body is larger ends with 413, as soon as that is known.

    Args:
        app: the application. limit: in bytes.
    """

    def __init__(self, app: Any, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.limit:
            await self._refuse(receive, send)
            return
        received, exceeded, begun = 0, False, False

        async def counted() -> Any:
            nonlocal received, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            exceeded = received > self.limit
            if exceeded:
                raise _TooLarge
            return message

        async def instead(message: Any) -> None:  # whoever reads the body may take the exception for a broken form
            nonlocal begun
            if not exceeded or begun:
                begun = True
                await send(message)

        with contextlib.suppress(_TooLarge):
            await self.app(scope, counted, instead)
        if exceeded and not begun:
            await self._refuse(receive, send)

    async def _refuse(self, receive: Any, send: Any) -> None:
        """Answer with 413; most clients read no answer before they have sent all, so some more is taken and dropped."""
        dropped, more = 0, True
        while more and dropped < _DROPPED * self.limit:
            message = await receive()
            dropped += len(message.get("body", b""))
            more = message.get("more_body", False)
        text = f"the request is too large, expected at most {self.limit / 2**20:.0f} MiB; send a smaller picture"
        await _answer(send, 413, text)


class OnlyHosts:
    """ASGI middleware: requests for another host name end with 421, such as those of a name that was pointed here.

    Args:
        app: the application. hosts: names without ports.
    """

    def __init__(self, app: Any, hosts: Sequence[str]) -> None:
        self.app, self.hosts = app, {host.lower() for host in hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection."""
        if scope["type"] == "http":
            asked = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
            name = asked.partition("]")[0] + "]" if asked.startswith("[") else asked.partition(":")[0]
            if name not in self.hosts:
                await _answer(send, 421, "this server does not go by that name; open it by the address that it printed")
                return
        await self.app(scope, receive, send)


async def _answer(send: Any, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
