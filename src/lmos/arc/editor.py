"""What ADL editors ask of an agent's server: a document in, its use cases and mistakes out."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.arc.adl.compat import report
from lmos.model import errors
from lmos.protocols import http

PATH = "/arc/usecases"
#: Bytes of a document.
DOCUMENT_LIMIT = 5 * 1024 * 1024


def usecases_route() -> Route:
    """`POST /arc/usecases`: ADL as `text/plain` in, the original's JSON of its use cases out. What
    is wrong with the document is told in `errors`, with status 200.
    """

    async def usecases(request: Request) -> Response:
        body = await http.read_body(request, DOCUMENT_LIMIT)
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise errors.InvalidInput(
                f"the document is not UTF-8: {error.reason} at byte {error.start}"
            ) from None
        return http.json_response(await asyncio.to_thread(report, text))

    return Route(PATH, usecases, methods=["POST"])
