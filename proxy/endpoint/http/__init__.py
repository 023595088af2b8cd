"""The HTTP half of the embedded endpoint: CouchDB 3.5's wire format over aiohttp's low-level server.

    app          one request: who, where to, answer; errors in CouchDB's shape
    routing      path pieces and method → handler
    call         a request, parsed               reply      an answer, written
    auth         who asks                        session    `_session`, and its cookies
    server, databases, documents, writing, attachments, bulk, listing, changes, find: the handlers
    render       documents as JSON text          outgoing   with their attachments as MIME
    incoming     MIME bodies: documents with attachments, forms

Imports go down this list: handlers know requests and replies, nothing below `routing` knows `routing`.
"""
