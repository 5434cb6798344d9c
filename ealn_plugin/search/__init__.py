"""A searchable gallery: vehicle features in a folder on disk, found by their nearest neighbours.

records.py (what is known of an image), filters.py (which images a query looks at), places.py (hits ordered by where and
when as well), table.py (the images in Lance, the engine), store.py (where they lie, checksums), remote.py (object
storage), writer.py (build, add, remove), sharing.py (the same by several processes), index.py (open and search),
gallery.py (which images to take, and their features), clips.py (the same of videos), facts.py (what is known of them).
"""

from ealn_plugin.search.errors import SearchIndexError
from ealn_plugin.search.filters import Filter
from ealn_plugin.search.hits import Hit
from ealn_plugin.search.index import SearchIndex
from ealn_plugin.search.places import Whereabouts
from ealn_plugin.search.records import Records
from ealn_plugin.search.writer import IndexWriter

__all__ = ["Filter", "Hit", "IndexWriter", "Records", "SearchIndex", "SearchIndexError", "Whereabouts"]
