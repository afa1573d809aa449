"""Where a runtime's routings come from, when not from a store that it has already.

`open_source` chooses by the words given: a directory of manifests, a file of them or of the
original's `channelRoutings:`, a control plane of ours, or the original's operator. Each is read
into a store of its own that follows it, so that nothing else knows the difference. Where what is
followed is away or wrong, what it said last stays.
"""

from lmos.runtime.sources.opening import Source, open_source

__all__ = ["Source", "open_source"]
