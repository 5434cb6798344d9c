"""A process that decodes uploads, one after the other. It is started by its path and imports no torch.

Its arguments are the path of system/pictures.py, the most pixels that a picture may have, and the bytes of memory that
it may use. On stdin comes the length of a file, 8 bytes, and the file; on stdout goes the length of the answer and the
answer: 0, width and height as 4 bytes each and the pixels, RGB, row by row; or 1 and a sentence.
"""

import importlib.util
import io
import resource
import struct
import sys
from typing import Any


def main() -> None:
    """Answer until stdin ends."""
    rule, pixels, memory = sys.argv[1], *map(int, sys.argv[2:])
    spec = importlib.util.spec_from_file_location("pictures", rule)
    pictures = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(pictures)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    while head := sys.stdin.buffer.read(8):
        answer = decode(pictures, sys.stdin.buffer.read(*struct.unpack("<Q", head)), pixels)
        sys.stdout.buffer.write(struct.pack("<Q", len(answer)) + answer)
        sys.stdout.buffer.flush()


def decode(pictures: Any, content: bytes, pixels: int) -> bytes:
    """The answer to one file."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > pixels:
                raise ValueError(f"it has {image.width} x {image.height} pixels, expected at most {pixels:,}")
            image = pictures.as_rgb(image)
        return b"\0" + struct.pack("<II", *image.size) + image.tobytes()
    except Image.UnidentifiedImageError:
        return b"\1it is in no format that is known here"
    except Exception as error:  # decoders raise many kinds for a broken file, MemoryError among them
        return b"\1" + (str(error) or type(error).__name__).encode(errors="replace")


if __name__ == "__main__":
    main()
