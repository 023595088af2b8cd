"""The HTTP half of the embedded endpoint: CouchDB 3.5's wire format over aiohttp's low-level server.

app          one request: who, where to, answer; errors in CouchDB's shape
routing      path pieces and method → handler
call         a request, parsed          reply        an answer, written
auth         who asks                   session      the cookie of `_session`
server, databases, documents, attachments, bulk, listing, changes, find      the handlers, by what they are about
render       documents as JSON text, spliced from stored bytes
multipart    documents with attachments as MIME
"""
