"""What goes wrong with an index, and how the engine's own errors are told apart."""


class SearchIndexError(RuntimeError):
    """An index that cannot be opened or changed; the message is one sentence."""


class NoIndexError(SearchIndexError):
    """There is no index."""


class UnwrittenError(OSError):
    """A change that could not be written; the message says all."""


class MissingFileError(SearchIndexError):
    """A file is gone: the index may have been changed meanwhile."""


def is_missing(error: BaseException) -> bool:
    """Whether an error says that a file of the index is gone, as it is where another process changed the index."""
    return isinstance(error, MissingFileError)


def says_missing(error: BaseException) -> bool:
    """Whether an error of the engine says that a file is gone."""
    text = str(error).lower()
    return isinstance(error, FileNotFoundError) or "not found" in text or "no such file" in text


def first_line(error: BaseException) -> str:
    """What an error of the engine says, without where in its code it was raised."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(", /rustc/")[0].rstrip(".")[:300]
