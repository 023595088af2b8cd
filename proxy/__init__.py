"""couch-tailor: a reverse proxy that cuts CouchDB documents to fit each client, and sews edits back into the whole.

    device ── HTTP ──► identify ─► route ─► [restore] ─► upstream CouchDB
       ▲                                                      │
       └────────── shape ◄── wire (bytes ↔ rows/docs) ◄───────┘

source    the upstream CouchDB-compatible server
client    who is asking, on what: user name, roles, device attributes, profile          contract.Client
profile   one client type: the databases it sees and its chain of filters               config.model.Profile
filter    one adaptation of documents, a lens: `shape` outward, `restore` inward        contract.Filter
chain     a profile's filters in order; restores in reverse                             core.lens.Chain
view      (database, profile, client): the scope in which documents are judged          view
cut       what a view shows of a document; devices may hold former ones                 core.cut, cuts
epoch     a time in which a view's cut was the same; tokens of another begin anew       cuts.record
graft     a revision that the proxy adds to a client's tree, never to the source        core.grafts
token     the proxy's own opaque update sequence                                        core.tokens
"""

__version__ = "0.1.0"
