"""The feed index of one database: which documents changed, in which order, and whom they reach. A file of SQLite.

Rules:
  - a document has one position, that of its last change, as in CouchDB; positions only grow;
  - it is found at its position by its keys, and by those that it lost then: whoever holds one of these has to be told
    that the document left. An entry of a lost key stays where it is while the document moves on: who was told once is
    not told again;
  - the source's sequence is kept for each position at which there is something, and for the last one: whoever reads on
    from there on another node repeats nothing, and leaves nothing out. (Were it kept for some positions only, a client
    that asks two nodes in turn could be given the same page for ever.)
  - SQLite does not notice when the disk gives back something else than was written. So what is said of a document has a
    checksum, and so has each sequence; entries must fit the documents that they lead to. Whoever reads something that
    does not fit says Damaged; nobody reads on from there;
  - of each leaf it is kept what decides whom it is shown to (its trace), and of former ones where that was something
    else: a client that comes when the source has no bodies of them any more is told nevertheless what left its view;
  - all of it can be rebuilt from the source. A file that is damaged, of another format or for other rules is made anew,
    with another id, so that tokens with positions in the old one are known;
  - while an index is built nobody reads it, so what is found by keys is not sorted by keys before all is there: of many
    users each document would change another page of the file. What makes it a whole index also says that it is one.

One process writes (`IndexWriter`), any number read (`IndexReader`), also while it is written.
"""

from proxy.feeds.index.damage import Damaged, Full
from proxy.feeds.index.file import remove
from proxy.feeds.index.reader import IndexReader
from proxy.feeds.index.records import (
    Entry,
    Known,
    Row,
    Trace,
    has_leaf,
    join_leaves,
    key_number,
    split_leaves,
)
from proxy.feeds.index.writer import IndexWriter

__all__ = [
    "Damaged",
    "Entry",
    "Full",
    "IndexReader",
    "IndexWriter",
    "Known",
    "Row",
    "Trace",
    "has_leaf",
    "join_leaves",
    "key_number",
    "remove",
    "split_leaves",
]
