"""Talking to a running platform, with the standard library alone so that commands start fast."""

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import click

from lmos.local.running import running_url

DEFAULT_URL = "http://127.0.0.1:8080"

url_option = click.option(
    "--url", envvar="LMOS_URL", help="The platform's address (default: the one running here)."
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


def platform_url(url: str | None) -> str:
    """The address given, else that of the platform running here, else the default."""
    return (url or running_url() or DEFAULT_URL).rstrip("/")


class Platform:
    """The platform's HTTP API at an address."""

    def __init__(self, url: str | None) -> None:
        self.url = platform_url(url)
        self._parts = urlsplit(self.url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            fail(f"{self.url!r} is not an address like {DEFAULT_URL}")

    def get(self, path: str) -> Any:
        """The JSON found at the path."""
        with self._ask("GET", path) as response:
            return json.loads(response.read())

    def post(self, path: str, body: Any) -> Any:
        """The JSON answered to a JSON body."""
        with self._ask("POST", path, body) as response:
            return json.loads(response.read())

    def delete(self, path: str) -> None:
        """Deletes what is at the path."""
        with self._ask("DELETE", path) as response:
            response.read()

    def stream(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The events of a turn as they come, in their JSON form."""
        accept = {"Accept": "text/event-stream", **(headers or {})}
        with self._ask("POST", path, body, accept) as response:
            for line in response:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    def channel(self, given: str | None) -> tuple[str, str]:
        """Tenant and channel of `tenant/channel`; without it the one with most to offer."""
        if given:
            tenant, _, channel = given.partition("/")
            if not tenant or not channel:
                fail(f"{given!r} is not a channel; write it as tenant/channel, such as acme/web")
            return tenant, channel
        routings = self.get("/apis/lmos.eclipse/v1/channelroutings")["items"]
        best = max(routings, key=_offers, default=None)
        if best is None or not _offers(best):
            fail("no channel is resolved; see: lmos get channels")
        labels = best["metadata"].get("labels", {})
        return labels.get("tenant", ""), labels.get("channel", "")

    @contextmanager
    def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=120)
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, data, sent)
            response = connection.getresponse()
            if response.status >= 400:
                fail(_reason(response))
            yield response
        except (OSError, http.client.HTTPException) as error:
            fail(f"no platform answers at {self.url} ({error}); start one with: lmos up DIR")
        except ValueError:
            fail(f"what answers at {self.url} is no platform: {path} is not JSON")
        finally:
            connection.close()


def path_of(*parts: str) -> str:
    """A URL path with each part escaped."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _offers(routing: dict[str, Any]) -> int:
    """How many capabilities a routing has."""
    groups = routing["spec"].get("capabilityGroups", [])
    return sum(len(group["capabilities"]) for group in groups)


def _reason(response: http.client.HTTPResponse) -> str:
    status = f"HTTP {response.status} {response.reason}"
    try:
        body = json.loads(response.read())
    except ValueError:
        return status
    return str(body.get("message") or status) if isinstance(body, dict) else status


def fail(message: str, code: int = 1) -> NoReturn:
    """Ends the command with one line on standard error."""
    click.echo(f"lmos: {message}", err=True)
    sys.exit(code)
