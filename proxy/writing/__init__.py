"""The inward direction: what clients write, sewn back into the whole and handed to the source.

pushed       a document of a request, validated in CouchDB's words                             pure
plan         (pushed, the source's leaves and ancestors, rules) → what to send, what to refuse   pure
originals    fetches what a plan needs, and logs what it withholds
store        one document to the source by PUT, as JSON or multipart; what to say if the source breaks off
bulk         `_bulk_docs`
document     PUT, POST to the database, DELETE
related      PUT as multipart/related
attachment   PUT and DELETE of an attachment
form, copy   POST of a form, COPY
"""
