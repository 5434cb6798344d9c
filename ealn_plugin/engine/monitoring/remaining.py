"""How long a run still takes, when its steps are of several kinds that take different times."""

import time
from typing import Any

from tqdm import tqdm


class RemainingTime:
    """An estimate from the steps that were timed, each kind by its own.

    Args:
        kinds: the kind of the steps of each epoch, such as the name of its stage; '' for an epoch without steps.
        clock: function that returns seconds.
    """

    def __init__(self, kinds: Any, clock: Any = time.monotonic) -> None:
        self.kinds, self._clock = list(kinds), clock
        self._seconds, self._counts, self._since = {}, {}, None

    def begin(self) -> None:
        """An epoch begins: its first step is not timed, since it also starts data workers."""
        self._since = None

    def step(self, kind: Any) -> None:
        """A step of this kind was done."""
        now = self._clock()
        if self._since is not None:
            self._seconds[kind] = self._seconds.get(kind, 0.0) + now - self._since
            self._counts[kind] = self._counts.get(kind, 0) + 1
        self._since = now

    def steps_left(self, epoch: int, batches: Any, done: Any) -> Any:
        """{kind: number of steps} from batch ``done`` of ``epoch`` on, every epoch having ``batches``."""
        left = {}
        for number, kind in enumerate(self.kinds[epoch:]):
            if kind:
                left[kind] = left.get(kind, 0) + batches - (done if number == 0 else 0)
        return {kind: count for kind, count in left.items() if count}

    def text(self, epoch: int, batches: Any, done: Any) -> Any:
        """What is known, such as '2:05 left'; '' before anything is.

        Steps of a kind that was never timed have no price: the text then says how many there are beside the rest.
        """
        left = self.steps_left(epoch, batches, done)
        timed = {kind: count for kind, count in left.items() if kind in self._counts}
        if not timed:
            return ""
        seconds = sum(count * self._seconds[kind] / self._counts[kind] for kind, count in timed.items())
        others = " + ".join(f"{count} steps ({kind})" for kind, count in left.items() if kind not in timed)
        return f"{tqdm.format_interval(seconds)}{f' + {others}' if others else ''} left"
