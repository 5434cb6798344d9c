"""An index in object storage: which places are, how long it is waited for, and what its errors mean."""

import os
import re
from os import PathLike

_URI = re.compile(r"[a-z][a-z0-9+.-]+://")

WAITING = {"connect_timeout": "10s", "timeout": "60s", "client_max_retries": "3", "client_retry_timeout": "60"}
"""Of one request: a storage that does not answer ends the command after a minute or so, not after several."""

_MEANINGS = (
    (r"NoSuchBucket", "there is no such bucket; create it, or correct the address"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Unauthorized|Forbidden|credentials|40[13] ",
        "the storage refuses the credentials, or there are none; set those of the environment, such as "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        r"error sending request|dns error|timed out|onnection (refused|reset)",
        "the storage cannot be reached; check the network and the address of the server, such as AWS_ENDPOINT",
    ),
)
_CONFLICT = re.compile(r"[Ii]ncompatible transaction|[Cc]ommit conflict|[Cc]oncurrent")


def is_remote(place: str | PathLike[str]) -> bool:
    """Whether an index lies in object storage: its place is a URI."""
    return bool(_URI.match(os.fspath(place)))


def meaning(error: BaseException) -> str:
    """What an error of the storage means, with the next step; '' where it is none of the storage."""
    return next((sentence for pattern, sentence in _MEANINGS if re.search(pattern, str(error))), "")


def is_conflict(error: BaseException) -> bool:
    """Whether the engine has refused a change because of another one that was made meanwhile."""
    return bool(_CONFLICT.search(str(error)))
