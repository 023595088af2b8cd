"""Feeds that cost what a device's own documents cost.

    source ── _changes, _bulk_get ──► follower ──► index (a file)  ◄── feed of a client ── judged bodies ──► device
                                         └── "these keys have something new" ──► hub ──► those who wait

follower  reads the source once for all devices, one for each database and node                     feeds.follower
looks     whom a document reaches, by its body: what is stored of it                                 feeds.looks
pace      how a long reading gives way to those whom the machine serves meanwhile                     feeds.pace
index     which documents changed, in order, by the keys of those whom they reach                   feeds.index
hub       what a serving process knows of an index: where it is and how far                        feeds.hub
news      what was new lately, read once for all whom it concerns                                    feeds.news
waiting   who waits for which keys, and how many are woken at once                                feeds.waiting
server    all followers of a configuration, in a process of their own, and those who listen to it        feeds.server
remote    the hubs of a serving process that listens; `local`: of one that follows by itself             feeds.remote
"""
