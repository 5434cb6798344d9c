"""Images read and resized ahead of the network that takes them, by threads or by processes."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ealn_plugin.inference.image_inputs import name_of, to_network
from ealn_plugin.system.pictures import UnreadableImageError
from ealn_plugin.system.workers import data_worker_start


class PreparedImages(Dataset):
    """Images as normalized tensors [3, height, width], or as the error that one raised.

    Args:
        images: list of what ``to_network`` takes. transform, size: see there.
    """

    def __init__(self, images: Any, transform: Any, size: tuple[int, int]) -> None:
        self.images, self.transform, self.size = images, transform, size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        try:
            return to_network(self.images[row], self.transform, self.size, row)
        except (FileNotFoundError, UnreadableImageError, ValueError) as error:
            return error  # raised in a worker it would arrive with the worker's traceback

    def batches(self, batch_size: int, workers: int) -> Iterable[list[Any]]:
        """The items, batch by batch, read by so many processes; 0: by threads of this one, as many as PyTorch uses."""
        if not workers or not len(self):
            return self._by_threads(batch_size, torch.get_num_threads())
        return DataLoader(
            self,
            batch_size,
            num_workers=min(workers, len(self)),
            collate_fn=list,
            generator=torch.Generator(),  # else it would draw from the global random state
            worker_init_fn=data_worker_start(),
        )

    def _by_threads(self, batch_size: int, threads: int) -> Iterator[list[Any]]:
        """The items, batch by batch; files are read and resized by threads while the batch before is worked on."""
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[list[Any]] = deque()
            for first in range(0, len(self), batch_size):
                rows = range(first, min(first + batch_size, len(self)))
                # only files: an image that is given twice would be decoded by two threads at once
                waiting.append([pool.submit(self.__getitem__, r) if name_of(self.images[r]) else self[r] for r in rows])
                if len(waiting) > 1:
                    yield _results(waiting.popleft())
            while waiting:
                yield _results(waiting.popleft())


def _results(items: list[Any]) -> list[Any]:
    return [item.result() if isinstance(item, Future) else item for item in items]
