"""A searchable gallery: vehicle features in a folder on disk, their nearest neighbours by FAISS.

records.py (what is known of an image), store.py (files, checksums, the manifest), neighbours.py (FAISS),
writer.py (build, add, remove), index.py (open and search), gallery.py (which images to take, and their features).
"""

from ealn_plugin.search.index import Hit, SearchIndex
from ealn_plugin.search.records import Records
from ealn_plugin.search.store import SearchIndexError
from ealn_plugin.search.writer import IndexWriter

__all__ = ["Hit", "IndexWriter", "Records", "SearchIndex", "SearchIndexError"]
