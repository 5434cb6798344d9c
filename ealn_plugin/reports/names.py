"""Names of subjects and runs for tables and files."""

import hashlib
import os
import re

from ealn_plugin.system.messages import printable

_LONGEST_NAME = 120  # bytes; file systems allow 255


# ---------------------------------------------------------------------------------------------- names
def short_labels(paths):
    """Short names for folders or files: the last parts of their paths, as many as are needed to tell them apart.

    Raises:
        ValueError: one is given twice.
    """
    parts = [os.path.abspath(path).strip(os.sep).split(os.sep) for path in paths]
    labels = []
    for own, path in zip(parts, paths):
        if parts.count(own) > 1:
            raise ValueError(f"{path!r} is given twice, expected different ones; give each once")
        others = [other for other in parts if other is not own]
        count = next((n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own))
        labels.append(printable("/".join(own[-count:])))  # tables are UTF-8 and have one line for each
    return labels


def file_name(label):
    """A label as a file or folder name: everything but letters, digits, '.', '-' and '_' becomes '_'.

    Labels that are longer than names of files may be, with what is put around them, end in a checksum.
    """
    name = re.sub(r"[^\w.-]+", "_", label).strip("_.") or "unnamed"
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    checksum = hashlib.sha256(os.fsencode(label)).hexdigest()[:12]
    return os.fsencode(name)[: _LONGEST_NAME - 13].decode(errors="ignore") + "_" + checksum
