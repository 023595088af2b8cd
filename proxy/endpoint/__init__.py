"""The embedded CouchDB-compatible endpoint: databases, documents, revision trees, feeds, attachments, sessions.

    http ──► server ──► database ──► repository
                  │        │            ├── sqlite   one file per database, durable
                users   updates         └── memory   nothing is kept

Everything below `http` is plain Python: reads are synchronous and quick, writes are awaited until they are durable.
"""
