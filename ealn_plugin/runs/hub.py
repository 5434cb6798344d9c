"""Weights in repositories of the Hugging Face Hub, or of any server with its interface that HF_ENDPOINT names.

``hf:OWNER/NAME`` is model.safetensors of a repository; ``hf:OWNER/NAME/FILE`` another file of it; ``@REVISION`` behind
OWNER/NAME a branch, tag or commit.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ealn_plugin.system.extras import check_extra

PREFIX = "hf:"
WEIGHTS = "model.safetensors"
SECONDS = 10.0
"""After which a server that does not answer is given up, unless HF_HUB_DOWNLOAD_TIMEOUT says otherwise."""
_TIMEOUT = "HF_HUB_DOWNLOAD_TIMEOUT"
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+?))?(?:/([^@]+))?")


class Repository(NamedTuple):
    """OWNER/NAME, the revision or None, and the file in it."""

    name: str
    revision: str | None
    file: str


def parse(reference: str, flag: str = "--weights") -> Repository:
    """What a reference says.

    Raises:
        ValueError: it is not of the form hf:OWNER/NAME; one sentence.
    """
    found = _NAME.fullmatch(reference)
    if not found:
        raise ValueError(f"{flag} is {reference!r}, expected hf:OWNER/NAME or hf:OWNER/NAME/FILE; correct it")
    name, revision, file = found.groups()
    return Repository(name, revision, file or WEIGHTS)


def download(reference: str, flag: str = "--weights") -> str:
    """The path of a repository's file in huggingface_hub's cache; it is downloaded unless it is there already.

    Raises:
        ValueError: not of the form hf:OWNER/NAME. RuntimeError: huggingface_hub is missing, the server does not answer
            or has no such file; one sentence.
    """
    repository = parse(reference, flag)
    hub = _library()
    try:
        return hub.hf_hub_download(repository.name, repository.file, revision=repository.revision)
    except Exception as error:  # of many kinds: huggingface_hub's own, those of its client, of the file system
        raise _failed(f"{flag} {reference!r} cannot be had from", error) from error


def push(folder: str, files: Sequence[str], reference: str, flag: str = "--push") -> str:
    """Put files of a folder into a repository, which is made if it is not there; returns its address.

    Args:
        folder: holds them. files: names. reference: 'hf:OWNER/NAME', '@REVISION' being a branch.
    Raises:
        ValueError: not of that form. RuntimeError: as ``download``, or the server refuses; one sentence.
    """
    repository = parse(reference, flag)
    hub = _library()
    try:
        interface = hub.HfApi()
        address = interface.create_repo(repository.name, exist_ok=True)
        interface.upload_folder(
            folder_path=folder,
            repo_id=repository.name,
            revision=repository.revision,
            allow_patterns=list(files),
            commit_message="ealn export",
        )
    except Exception as error:  # as in download
        raise _failed(f"{flag} {reference!r} could not be saved at", error) from error
    return str(address)


def check_library() -> None:
    """Raise a RuntimeError with one sentence unless huggingface_hub is installed."""
    check_extra("hub", ("huggingface_hub",), "repositories of the Hugging Face Hub")


def _library() -> Any:
    check_library()
    import huggingface_hub

    session = huggingface_hub.get_session()  # the client that all its calls share, and which waits for ever
    session.timeout = float(os.environ.get(_TIMEOUT, SECONDS))
    return huggingface_hub


def _failed(what: str, error: Exception) -> RuntimeError:
    from huggingface_hub import constants

    cause: BaseException = error
    while cause.__cause__ is not None:  # huggingface_hub says 'not in the cache' of every failure of the network
        cause = cause.__cause__
    reason = str(cause).strip().partition("\n")[0] or "no message"
    return RuntimeError(
        f"{what} {constants.ENDPOINT} ({type(cause).__name__}: {reason}); check the name, the network and, for what is "
        "not public, HF_TOKEN"
    )
