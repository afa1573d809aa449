"""Agents over HTTP: one ASGI application for one agent or several, and the process that serves it.

`app` makes the application, `serve` runs it. Each protocol is written once, in `lmos.protocols`,
around a responder; what is decided here is which paths they get, who may ask, and what is open.
Protocols that are extras are in `mounts`, and only there where they are installed.
"""

from lmos.arc.serving.app import app
from lmos.arc.serving.server import notify, serve
from lmos.arc.serving.settings import Cors, Settings
from lmos.arc.serving.trust import trusting

__all__ = ["Cors", "Settings", "app", "notify", "serve", "trusting"]
