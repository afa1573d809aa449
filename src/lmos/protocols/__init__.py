"""The wires between applications, the platform and agents.

Each protocol has a folder: `codec` is pure, `server` makes routes around a `Responder`, `client`
makes a `Responder` of a URL. So any protocol serves single agents and the whole platform alike, and
can be put in front of any other. Shared by them: `http`, `sse`, `limits`, `calls` (asking others),
`directory` (agents by name), `extras` (libraries that may be missing) and `answering`, which keeps
a turn's events in their grammar whatever a responder does.
"""
