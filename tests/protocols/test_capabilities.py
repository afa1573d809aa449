"""The capabilities document: served, read, and refused where it is wrong."""

import pytest
from protocol_servers import Serve
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import Capability, Description, errors
from lmos.protocols import http, lmos

DESCRIPTION = Description(
    name="billing-agent",
    version="1.2.0",
    description="Bills",
    supported_tenants=("acme",),
    supported_channels=("web",),
    capabilities=(Capability(id="view_bill", name="view-bill", version="1.2.0"),),
)
PATH = "/.well-known/capabilities.json"


async def test_the_document_is_the_originals(serve: Serve) -> None:
    url = await serve([lmos.capabilities_route(DESCRIPTION)])
    async with http.session().get(url + PATH) as response:
        found = await response.json()
    assert found == {
        "id": "billing-agent",
        "description": "Bills",
        "version": "1.2.0",
        "supportedTenants": ["acme"],
        "supportedChannels": ["web"],
        "capabilities": [
            {
                "id": "view_bill",
                "name": "view-bill",
                "version": "1.2.0",
                "description": "",
                "examples": [],
            }
        ],
    }
    assert await lmos.describe(url + "/") == DESCRIPTION.but(url=url, source=url + PATH)


async def test_one_route_describes_many(serve: Serve) -> None:
    def of(request: Request) -> Description:
        return DESCRIPTION.but(name=request.path_params["name"])

    url = await serve([lmos.capabilities_route(of, prefix="/{name}")])
    assert (await lmos.describe(f"{url}/one")).name == "one"


async def test_a_document_of_the_original_is_read(serve: Serve) -> None:
    document = b"""{"id": "a", "description": "", "supportedTenants": [], "supportedChannels":
        null, "capabilities": [{"id": "1", "name": "x", "version": "1.0.0", "description": "",
        "examples": ["e"], "unheard": 1}]}"""
    url = await serve([Route(PATH, lambda _: Response(document))])
    found = await lmos.describe(url)
    assert found.capabilities[0] == Capability(id="1", name="x", version="1.0.0", examples=("e",))


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (Response("{"), "not JSON"),
        (Response("{}"), "id: Field required"),
        (Response('{"id": "a", "capabilities": [{"name": "x"}]}'), "capabilities.0.version"),
        (Response("", 404), "HTTP 404"),
        (Response("", 302, {"location": "http://127.0.0.1:9/"}), "HTTP 302"),
    ],
)
async def test_a_document_that_cannot_be_used_says_why(
    serve: Serve, response: Response, words: str
) -> None:
    url = await serve([Route(PATH, lambda _: response)])
    with pytest.raises(errors.AgentFailed, match=words):
        await lmos.describe(url)
