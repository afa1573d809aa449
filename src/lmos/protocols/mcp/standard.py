"""What comes in on standard input, line by line, in a way that can be given up.

The SDK reads it in a thread, which ends only with the input: Ctrl-C would wait for it.
"""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator

log = logging.getLogger(__name__)


def readable() -> bool:
    """Whether the loop can wait for the input: not for a file on a disk."""
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


async def lines(limit_bytes: int) -> AsyncGenerator[str, None]:
    """The lines until the input ends, or one is longer than the limit. Meanwhile whoever else reads
    standard input finds it empty.
    """
    reader = asyncio.StreamReader(limit=limit_bytes)
    private = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    file = os.fdopen(os.dup(private), "rb", 0)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
    try:
        while line := await reader.readline():
            yield line.decode("utf-8", "replace")
    except ValueError:
        log.error("a message is longer than %d bytes; nothing more is read", limit_bytes)
    finally:
        transport.close()
        os.set_blocking(private, True)  # a terminal is the shell's as well
        os.dup2(private, 0)
        os.close(private)
