"""How long the parts of a command took, to be told to the person who waited for them."""

import contextlib
import time
from collections.abc import Callable, Iterator

_WORTH_TELLING = 1.0  # seconds


class Durations:
    """Seconds by part, added up where one is entered several times.

    Args:
        clock: function that returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begin = clock, clock()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count the time inside of the block for a part."""
        begin = self._clock()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + self._clock() - begin

    def text(self) -> str:
        """Such as 'took 21 s: features 12 s, hard negatives 4 s'; parts below a second are left out, longest first."""
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts if seconds >= _WORTH_TELLING)
        return f"took {self._clock() - self._begin:.0f} s" + (f": {told}" if told else "")
