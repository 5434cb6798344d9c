"""ealn_plugin/system/messages.py: one sentence per error, safe to show."""

from ealn_plugin.system.messages import printable, sentence


def test_a_workers_error_is_one_sentence():
    text = (
        "Caught FileNotFoundError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\n"
        "FileNotFoundError: image 'a: b.jpg' does not exist"
    )
    assert sentence(RuntimeError(text)) == "image 'a: b.jpg' does not exist"
    assert sentence(ValueError(" plain ")) == "plain"
    assert sentence(MemoryError()) == "out of memory; use smaller batches, images or files"


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[31m\nb\u202ec é") == "a\\x1b[31m\\nb\\u202ec é"
