"""Text that is safe to show, whatever it holds."""


def sentence(error):
    """The message of an error on one line that is safe to show, whatever names of files it holds.

    One raised in a data worker arrives with the worker's traceback, which is left out.
    """
    text = str(error).strip()
    if "DataLoader worker" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text
    if isinstance(error, MemoryError):
        text = f"out of memory{f' ({text})' if text else ''}; use smaller batches, images or files"
    return printable(text)


def printable(text):
    """``text`` with line ends, terminal sequences and other characters that cannot be shown written as escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
