"""The embedded CouchDB-compatible endpoint: databases, documents, revision trees, feeds, attachments, sessions.

    http ──► server ──► database ──► repository
               │          │             ├── sqlite   a directory per database, durable
             users        │             └── memory   nothing is kept
                          ├── reading, feed          documents, listings, changes
                          └── writing ──► incoming   what clients send, checked
                                      └─► updates    CouchDB's rules for edits and replication

Below `http`, reads are plain calls that take microseconds; writes are awaited until they are durable.
"""
