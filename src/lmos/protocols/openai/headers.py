"""What a request's headers say of the turn, as ARC reads them. Pure.

`conversation` or `x-conversation-id`, `turn` or `x-turn-id`, `user`, `user-token`, `channel`,
`tenant`, `x-subset`; `profile_NAME` (or `profile-name`, for proxies that drop underscores) is the
user's profile. Every other header is system context, save those of HTTP itself, of proxies and
of OpenAI's clients, and anything that carries credentials.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from lmos.model import STABLE, Turn
from lmos.protocols import limits

#: Entries of the system context that headers can make, and characters that each may have.
ENTRIES, LENGTH = 100, 4096


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OURS = _names(
    """conversation x-conversation-id turn x-turn-id user user-token channel tenant x-subset
    x-turn-timeout traceparent tracestate baggage"""
)
_OTHERS = _names(
    """authorization cookie api-key x-api-key x-auth-token x-csrf-token host connection user-agent
    keep-alive te trailer transfer-encoding upgrade upgrade-insecure-requests origin referer date
    cache-control pragma via forwarded dnt priority expect max-forwards range from b3
    x-request-id x-correlation-id x-real-ip x-requested-with idempotency-key"""
)
_PREFIXES = (
    *("accept", "content-", "if-", "sec-", "access-control-", "proxy-", "openai-", "a2a-"),
    *("x-forwarded-", "x-stainless-", "x-envoy-", "x-istio-", "x-b3-", "x-amz", "x-ms-", "cf-"),
)


def placed(turn: Turn, headers: Mapping[str, str], trace: Mapping[str, str]) -> Turn:
    """The turn with what the headers say; they win over the body."""
    profile, system = _sorted(headers)
    user = turn.user.but(
        id=headers.get("user") or turn.user.id,
        token=headers.get("user-token") or turn.user.token,
        profile={**turn.user.profile, **profile},
    )
    named: dict[str, Any] = {
        name: limits.check_name(name, headers[name])
        for name in ("channel", "tenant")
        if headers.get(name)
    }
    return turn.but(
        user=user,
        subset=limits.check_name("subset", headers.get("x-subset") or STABLE),
        system_context={**system, **turn.system_context},
        trace=trace,
        deadline=limits.deadline_in(headers),
        **named,
    )


def conversation_of(headers: Mapping[str, str]) -> str:
    """The conversation's id, empty where there is none."""
    found = headers.get("conversation") or headers.get("x-conversation-id")
    return limits.check_name("conversation id", found) if found else ""


def turn_id_of(headers: Mapping[str, str]) -> str:
    """The turn's id, a new one where there is none."""
    found = headers.get("turn") or headers.get("x-turn-id")
    return limits.check_name("turn id", found) if found else str(uuid4())


def _sorted(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The user's profile and the system context."""
    profile: dict[str, str] = {}
    system: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(("profile_", "profile-")):
            profile[name[len("profile_") :]] = value[:LENGTH]
        elif _is_context(name) and len(system) < ENTRIES:
            system[name] = value[:LENGTH]
    return profile, system


def _is_context(name: str) -> bool:
    return not (name in _OURS or name in _OTHERS or name.startswith(_PREFIXES))
