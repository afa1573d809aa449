"""Where things are kept: the layout of keys.

    conversation/TENANT/CHANNEL/CONVERSATION/history/OWNER
    conversation/TENANT/CHANNEL/CONVERSATION/memory/AGENT/NAME
    conversation/TENANT/CHANNEL/CONVERSATION/shared         what its agents share
    conversation/TENANT/CHANNEL/CONVERSATION/decisions/STAMP    how a turn was decided
    user/TENANT/USER/memory/AGENT/NAME
    user/TENANT/USER/shared
    user/TENANT/USER/conversations/CHANNEL/CONVERSATION      the user took part in it
    tenant/TENANT/memory/AGENT/NAME
    tenant/TENANT/shared
    forgetting/TENANT/USER                                   conversations still to be deleted

All that belongs to a conversation, or to a user, is below one prefix. A part that comes from
outside is escaped, so that it cannot reach into the keys of others whatever it holds; one too long
for a key stands as its hash.
"""

from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote

from lmos.model import Turn

#: Bytes of a part beyond which its hash stands for it.
LONGEST = 200


def key(*parts: str) -> str:
    """The key of these parts, or the prefix of all keys that begin with them if the last is ""."""
    return "/".join(map(escaped, parts))


@lru_cache(maxsize=4096)
def escaped(part: str) -> str:
    """The part as it stands in a key. No two parts give the same."""
    if part.isascii() and len(part) <= LONGEST:
        return part.replace("%", "%25").replace("/", "%2F")
    data = part.encode("utf-8", "surrogatepass")
    if len(data) > LONGEST or any("\ud800" <= c <= "\udfff" for c in part):
        return "%~" + sha256(data).hexdigest()
    return part.replace("%", "%25").replace("/", "%2F")


def unescaped(part: str) -> str:
    """The part again, unless its hash stands for it."""
    return part if part.startswith("%~") else unquote(part)


def key_of(what: str, turn: Turn) -> str:
    """The key for something about a turn's conversation."""
    return key(what, turn.tenant, turn.channel, turn.conversation_id)


def conversation_of(turn: Turn, *parts: str) -> str:
    """The key of something that belongs to the turn's conversation."""
    return key("conversation", turn.tenant, turn.channel, turn.conversation_id, *parts)


def user_of(tenant: str, user: str, *parts: str) -> str:
    """The key of something that belongs to a user of the tenant."""
    return key("user", tenant, user, *parts)
