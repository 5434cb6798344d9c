"""Lists that give images of a rendered dataset others that belong to them: twins.csv, lookalikes.csv, ..."""

import csv
import os

from ealn_plugin.system.entrances import command


def read_pairs(path: str, header: list[str], what: str) -> list[tuple[str, str]]:
    """The pairs of a list.

    Args:
        path: of the CSV file; names in it are relative to its folder.
        header: its columns, the two names first.
        what: what the second name is, for messages.
    Returns:
        [(absolute path of an image, absolute path of the other), ...] in the order of the lines; empty where there
        is no such file.
    Raises:
        ValueError: the file has another header, or a line that does not name two files.
    """
    if not os.path.isfile(path):
        return []
    folder, pairs = os.path.dirname(path), []
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            found = next(rows, [])
            if found != header:
                raise ValueError(f"it has the header {found}, expected {','.join(header)}")
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header) or not all(row[:2]) or "\0" in row[0] + row[1]:
                    raise ValueError(f"line {rows.line_num} has {len(row)} names, expected an image and its {what}")
                pairs.append(
                    (os.path.abspath(os.path.join(folder, row[0])), os.path.abspath(os.path.join(folder, row[1])))
                )
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: {error}; render the dataset again with {command('make-synthetic')}") from error
    return pairs
