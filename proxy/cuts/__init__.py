"""Which cuts of documents somebody was shown: recorded at the source before any is, for edits of them to be read by.

record    what is kept of one user under one name of a database, as JSON and back
memory    keeps it up to date, and knows the rules that are gone by now
returns   which revisions were shown again, to be closed in time
touches   since when all documents are new, because they were written anew
"""
