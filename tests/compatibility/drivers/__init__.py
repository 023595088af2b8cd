"""Clients that cannot be installed here, as drivers: what they send, exactly where it matters, and what they check.

wire          HTTP/1.1 as plain as can be: no header that a driver did not ask for, nothing followed or decoded
multipart     reading and writing of MIME bodies, as strict as the strictest of the clients
replica       the client's own database: revision trees, attachments, local documents
ward          the documents and the profile that all drivers are tried with
couchdb       the replicator of CouchDB 1.x, 2.3 to 3.2 and 3.3 on (checked against recordings of 3.5)
touchdb       TouchDB; touchdb_ios and touchdb_android: what is each one's own
cloudant      Cloudant Sync for Java
small         kivik, and the Node module `replicate`
"""


class Rejected(AssertionError):
    """The client would not have put up with that: the message says with what."""


def check(condition: object, message: str) -> None:
    """What a client insists on. Raises `Rejected`."""
    if not condition:
        raise Rejected(message)
