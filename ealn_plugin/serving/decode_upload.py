"""The process that decodes one upload: file on stdin, pixels on stdout. It is started by its path and imports no torch.

Its arguments are the path of system/pictures.py, the most pixels that the picture may have, and the bytes of memory and
seconds of processor time that the process may use. The answer is 0, width and height as 4 bytes each and the pixels,
RGB, row by row; or 1 and a sentence.
"""

import importlib.util
import io
import resource
import struct
import sys


def main() -> None:
    """Decode; whatever goes wrong is an answer, unless the process dies of it."""
    rule, pixels, memory, seconds = sys.argv[1], *map(int, sys.argv[2:])
    spec = importlib.util.spec_from_file_location("pictures", rule)
    pictures = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(pictures)  # type: ignore[union-attr]
    from PIL import Image

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    content = sys.stdin.buffer.read()
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > pixels:
                raise ValueError(f"it has {image.width} x {image.height} pixels, expected at most {pixels:,}")
            image = pictures.as_rgb(image)
        answer = b"\0" + struct.pack("<II", *image.size) + image.tobytes()
    except Image.UnidentifiedImageError:
        answer = b"\1it is in no format that is known here"
    except Exception as error:  # decoders raise many kinds for a broken file, MemoryError among them
        answer = b"\1" + (str(error) or type(error).__name__).encode(errors="replace")
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
