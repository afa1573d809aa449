"""A clock that stands still until it is told to go on."""


class Clock:
    """Seconds, for whatever takes a clock: `MemoryState(clock=clock)`."""

    def __init__(self, now: float = 1_767_225_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The moment it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Goes on by so many seconds."""
        self.now += seconds
