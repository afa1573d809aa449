"""Server-sent events, to bytes and back."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from dataclasses import dataclass

from lmos.model.errors import AgentFailed

#: Bytes that one event may have.
EVENT_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it came; `name` is `message` where the sender gave none."""

    data: bytes
    name: str = "message"
    id: str = ""


def frame(data: bytes, name: str = "", id_: str = "") -> bytes:
    """The event's bytes. `data` is one line (JSON is)."""
    head = f"id: {id_}\n" if id_ else ""
    if name:
        head += f"event: {name}\n"
    return b"%bdata: %b\n\n" % (head.encode(), data)


async def parse(
    chunks: AsyncIterable[bytes], limit: int = EVENT_LIMIT
) -> AsyncGenerator[Event, None]:
    """The events in a body that comes in pieces of any size, as `Parser` finds them."""
    parser = Parser(limit)
    async for chunk in chunks:
        for event in parser.read(chunk):
            yield event


class Parser:
    """Finds the events in a body that comes in pieces of any size. An unfinished last one is
    dropped.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self._fields = _Fields()
        self._size = 0
        self._after_cr = False

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in the next piece. `AgentFailed` when one is larger than `limit`."""
        # The LF of a CRLF that was cut in two ends no second line.
        piece = chunk[1:] if self._after_cr and chunk.startswith(b"\n") else chunk
        self._after_cr = chunk.endswith(b"\r")
        *lines, self._rest = _lines(self._rest + piece)
        for line in lines:
            self._size += len(line)
            if line:
                self._fields.add(line)
                continue
            fields, self._fields, self._size = self._fields, _Fields(), 0
            if fields.data is not None:
                yield fields.event()
        if self._size + len(self._rest) > self._limit:
            raise AgentFailed(f"an event of the stream is larger than {self._limit} bytes")


def _lines(data: bytes) -> list[bytes]:
    """The lines, ended by LF, CRLF or CR; the last is what is not ended yet."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.split(b"\n")


class _Fields:
    """The fields of one event while its lines come."""

    __slots__ = ("data", "id", "name")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.name = "message"
        self.id = ""

    def add(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self.data = value if self.data is None else self.data + b"\n" + value
        elif field == b"event":
            self.name = value.decode(errors="replace")
        elif field == b"id":
            self.id = value.decode(errors="replace")

    def event(self) -> Event:
        return Event(self.data or b"", self.name, self.id)
