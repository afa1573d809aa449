"""Where the page lies: at `/` and below NiceGUI's own paths, and nowhere else.

A plain mount at `/` would answer everything the platform's routes do not, so a wrong path or method
of an API would get a page instead of an error.
"""

from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Scope

_OWN = "/_nicegui"


class PageMount(Mount):
    """Mounts the page without taking other paths."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__("/", app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Only `/` and what NiceGUI serves for it."""
        path = scope.get("path", "")
        if path != "/" and not path.startswith(_OWN):
            return Match.NONE, {}
        return super().matches(scope)
