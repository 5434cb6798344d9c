"""``ealn search`` with segments of four images, for torchrun: python -m tests.helpers.shared_search SECONDS index ...

Each image takes so many seconds, so that a test has the time to kill a process in the middle.
"""

import sys
import time

import ealn_plugin.search
from ealn_plugin.commands import search
from ealn_plugin.search import IndexWriter, gallery

SEGMENT = 4


class SmallSegments(IndexWriter):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "segment": SEGMENT})


def main(seconds, arguments):
    features_of = gallery.features_of

    def slowly(*given, **options):
        for records, features in features_of(*given, **options):
            time.sleep(seconds * len(records))
            yield records, features

    gallery.features_of, ealn_plugin.search.IndexWriter = slowly, SmallSegments
    return search.main(arguments)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
