"""The web application: the page, the JSON interface, and who may ask."""

import hmac
import logging
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from ealn_plugin.search.errors import SearchIndexError
from ealn_plugin.search.places import WEIGHT
from ealn_plugin.serving.gallery import Gallery, Placing, filter_of
from ealn_plugin.serving.limits import LimitedBody, OnlyHosts
from ealn_plugin.serving.uploads import Decoder, UploadError
from ealn_plugin.system.messages import sentence
from ealn_plugin.system.pictures import UnreadableImageError

log = logging.getLogger(__name__)

PAGE = pathlib.Path(__file__).parent / "page"
COOKIE = "ealn_token"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_OPEN = ("/static/style.css", "/static/icon.svg")  # what the page without a token needs
Texts = Annotated[list[str], Form()]


def create_app(
    gallery: Gallery,
    *,
    token: str = "",
    upload_bytes: int = 20 * 2**20,
    hosts: tuple[str, ...] = (),
    decode: Callable[[bytes], Any] | None = None,
) -> FastAPI:
    """The application of a gallery.

    Args:
        token: what every request must bring, as ``Authorization: Bearer TOKEN``, as a cookie or, the first time, as
            ``?token=TOKEN``; '': none is asked for.
        upload_bytes: the largest body of a request.
        hosts: names by which it may be called, so that no other site can reach it through a visitor's browser; (): any.
        decode: bytes to a ``PIL.Image``; None: a ``Decoder``.
    """
    app = FastAPI(title="Vehicle search", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    _add_pages(app, gallery)
    _add_searches(app, gallery, decode or Decoder())
    _add_errors(app)
    app.middleware("http")(_guard(token))
    app.add_middleware(LimitedBody, limit=upload_bytes)
    if hosts:
        app.add_middleware(OnlyHosts, hosts=hosts)
    return app


def _add_pages(app: FastAPI, gallery: Gallery) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/api/info")
    def info() -> dict[str, Any]:
        """How many images the index holds, and what they can be filtered by."""
        return gallery.info()

    @app.get("/api/images/{number}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    def image(number: int, size: int = 320) -> Response:
        """An image of the index as JPEG, its longer side at most ``size`` pixels."""
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(gallery.picture(number, size), media_type="image/jpeg", headers=headers)


def _add_searches(app: FastAPI, gallery: Gallery, decode: Callable[[bytes], Any]) -> None:
    @app.post("/api/search")
    def search(
        picture: Annotated[UploadFile, File()],
        box: Annotated[str, Form()] = "",
        seen: Annotated[str, Form()] = "",
        camera: Texts = [],  # noqa: B006  (FastAPI copies it)
        view: Texts = [],  # noqa: B006
        colour: Texts = [],  # noqa: B006
        type: Texts = [],  # noqa: B006
        source: Texts = [],  # noqa: B006
        after: Annotated[str, Form()] = "",
        before: Annotated[str, Form()] = "",
        group_by: Annotated[str, Form()] = "",
        k: Annotated[int, Form()] = 20,
        where_and_when: Annotated[str, Form()] = "",
        query_camera: Annotated[str, Form()] = "",
        query_time: Annotated[str, Form()] = "",
        where_weight: Annotated[float, Form()] = WEIGHT,
    ) -> dict[str, Any]:
        """The nearest images of a picture of a vehicle's ``seen`` side, within ``box``: left,upper,right,lower; with
        ``where_and_when``, distance or transitions, by how well they fit ``query_camera`` and ``query_time`` as well.
        """
        where = filter_of(_filters(camera, view, colour, type, source, after, before))
        found = decode(picture.file.read())
        placing = Placing(where_and_when, query_camera, query_time, where_weight)
        return gallery.search_picture(found, _box(box), seen, where, k, group_by, placing)

    @app.get("/api/search/{number}")
    def search_from(
        number: int,
        camera: Annotated[list[str], Query()] = [],  # noqa: B006
        view: Annotated[list[str], Query()] = [],  # noqa: B006
        colour: Annotated[list[str], Query()] = [],  # noqa: B006
        type: Annotated[list[str], Query()] = [],  # noqa: B006
        source: Annotated[list[str], Query()] = [],  # noqa: B006
        after: str = "",
        before: str = "",
        group_by: str = "",
        k: int = 20,
        where_and_when: str = "",
        query_camera: str = "",
        query_time: str = "",
        where_weight: float = WEIGHT,
    ) -> dict[str, Any]:
        """The nearest images of one of the index, whose camera and time are those that it knows unless given."""
        where = filter_of(_filters(camera, view, colour, type, source, after, before))
        placing = Placing(where_and_when, query_camera, query_time, where_weight)
        return gallery.search_image(number, where, k, group_by, placing)


def _filters(camera: Any, view: Any, colour: Any, kind: Any, source: Any, after: str, before: str) -> dict[str, Any]:
    named = {"camera": camera, "view": view, "colour": colour, "type": kind, "source": source}
    return {
        **{name: [text for text in texts if text] for name, texts in named.items()},
        "after": after,
        "before": before,
    }


def _box(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        sides = [float(side) for side in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) != 4:
        raise ValueError(f"box is {text[:60]!r}, expected left,upper,right,lower as numbers in [0, 1]")
    return sides


# ---------------------------------------------------------------------------------------------- errors and tokens
def _refused(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def _add_errors(app: FastAPI) -> None:
    def bad(request: Request, error: Exception) -> JSONResponse:
        return _refused(400, sentence(error))

    def absent(request: Request, error: Exception) -> JSONResponse:
        return _refused(404, "the index has no image of that number; it may have been removed, search again")

    def unreadable(request: Request, error: Exception) -> JSONResponse:
        log.warning("%s", error)
        return _refused(404, "the file of that image is gone or broken; see the log of the server")

    def damaged(request: Request, error: Exception) -> JSONResponse:
        log.error("%s", error)
        return _refused(503, "the index cannot answer; see the log of the server")

    def invalid(request: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first.get("loc", ())[1:]) or "the request"
        return _refused(422, f"{place}: {first.get('msg', 'not as expected')}; see /api/openapi.json")

    def known(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    for kind, handler in (
        (RequestValidationError, invalid),
        (StarletteHTTPException, known),
        (HTTPException, known),
        (UploadError, bad),
        (FileNotFoundError, unreadable),
        (UnreadableImageError, unreadable),
        (SearchIndexError, damaged),
        (KeyError, absent),
        (ValueError, bad),
        (OverflowError, bad),
    ):
        app.add_exception_handler(kind, handler)


def _guard(token: str) -> Any:
    """Middleware that lets nobody in without the token, and adds the headers that every answer has."""

    async def guard(request: Request, call_next: Any) -> Response:
        """What is answered to a request; ``call_next`` asks the rest of the application."""
        response: Response
        given = request.query_params.get("token", "")
        if token and _is(given, token) and request.method == "GET":
            response = RedirectResponse(request.url.path, 303)
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        elif token and request.url.path not in _OPEN and not _brings(request, token):
            response = _refused(401, "a token is needed, expected 'Authorization: Bearer TOKEN', or open /?token=TOKEN")
            response.headers["WWW-Authenticate"] = "Bearer"
        else:
            response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    return guard


def _brings(request: Request, token: str) -> bool:
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    return (kind.lower() == "bearer" and _is(bearer, token)) or _is(request.cookies.get(COOKIE, ""), token)


def _is(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
