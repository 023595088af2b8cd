"""The validated configuration: frozen, complete, every filter built. `load` makes it, the rest reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

from proxy.contract import Filter
from proxy.core.audience import Audience, audience_of
from proxy.core.lens import Chain


@dataclass(frozen=True)
class Cors:
    """What pages of other origins may do in browsers; names and rules are those of CouchDB's `[cors]`."""

    origins: tuple[str, ...]
    """As browsers write them, or `*` alone for all."""
    credentials: bool = False
    """Whether browsers send cookies along; never with `*`."""
    headers: frozenset[str] | None = None
    """Lower-case request headers that scripts may set; None: CouchDB's, and those that choose or inform profiles."""
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "DELETE", "COPY")
    max_age: int = 600
    """Seconds for which a browser need not ask again."""


@dataclass(frozen=True)
class Server:
    """The proxy's own socket and limits."""

    host: str = "127.0.0.1"
    port: int = 5984
    secret: bytes = field(default=b"", repr=False)
    """Keys tokens, grafts and local-document names; the same on every node."""
    max_body: int = 64 * 1024 * 1024
    """Bytes of a JSON request body, inflated; larger is 413. Attachments stream, without this limit."""
    session_ttl: float = 10.0
    """Seconds for which the source's word on who somebody is stays valid."""
    anonymous: bool = False
    """Whether a client without credentials may be served at all."""
    trust_forwarded: bool = False
    """Whether X-Forwarded-Host / -Proto of a gateway in front are believed (for Location)."""
    timeout: float = 60.0
    """Seconds without a byte from the source before a request is given up as 504."""
    client_timeout: float = 60.0
    """Seconds that a client may take for the head of a request, and may pause within its body."""
    max_bodies: int = 128 * 1024 * 1024
    """Bytes of memory that the bodies of requests may take in a process, decoded; others wait."""
    data: Path | None = None
    """The directory of the feed indexes; None: each feed is read from the source."""
    cache: int = 64 * 1024 * 1024
    """Bytes of documents that are kept in memory, for each database that has an index."""
    workers: int = 1
    """Processes that serve."""
    metrics: tuple[str, int] | None = None
    """Host and port where a Prometheus may ask; None: nowhere."""
    cors: Cors | None = None
    """None: no page of another origin may read anything."""
    remember: float = 365 * 86400.0
    """Seconds for which it is kept at the source how each user was shown documents; 0: it is not."""
    lost_rules: Literal["refuse", "present"] = "refuse"
    """What becomes of edits of documents that were shown by rules that cannot be had again; "present": they are read by
    those of today."""

    @property
    def largest_reply(self) -> int:
        """Bytes of a reply of the source that is held whole: those of the largest document that anybody can have stored
        there, by whatever way, and then some.
        """
        return 4 * max(self.max_body, 64 * 1024 * 1024)


@dataclass(frozen=True)
class Source:
    """An upstream CouchDB-compatible server.

    `auth`: "client" passes on the client's own credentials; "service" uses `username` / `password` for all
    but the question who the client is; "cookie" does so by a session; "iam" by bearer tokens of IBM Cloud for
    `api_key`; "proxy" sends CouchDB's proxy authentication headers, signed with `proxy_secret`, for the client's
    name and roles (or for `username` with `roles`, where those are set).
    """

    name: str
    url: str
    """Without a trailing slash; may have a path prefix."""
    auth: Literal["client", "service", "cookie", "iam", "proxy"] = "client"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    roles: tuple[str, ...] = ()
    proxy_secret: str | None = field(default=None, repr=False)
    proxy_hash: Literal["sha256", "sha1"] = "sha256"
    """By which hash `proxy_secret` signs. CouchDB takes SHA-256 from 3.3 on, and SHA-1 alone before."""
    api_key: str | None = field(default=None, repr=False)
    token_url: str = "https://iam.cloud.ibm.com/identity/token"

    @property
    def one_account(self) -> bool:
        """Whether it is asked as one account for all clients, but for the question who they are."""
        return self.auth in ("service", "cookie", "iam") or (self.auth == "proxy" and self.username is not None)


@dataclass(frozen=True)
class Database:
    """A database that clients know as `name`: `source_db` on `source`."""

    name: str
    source: Source
    source_db: str
    index: bool = True
    """Whether it has a feed index, where there can be one."""

    @property
    def may_be_indexed(self) -> bool:
        """Only where the source is asked as one account for all clients may one reading serve them all."""
        return self.source.one_account


@dataclass(frozen=True)
class Rule:
    """One entry of a profile's `filters`: what the file says, and the filter that was built from it."""

    use: str
    options: Mapping[str, Any] = field(repr=False)
    filter: Filter
    description: str
    """One line for people: the filter's own `describe()` where it has one, or else its options."""
    identity: str = field(repr=False)
    """What decides what the filter shows: its options, and a stamp of its code if that is the site's."""


@dataclass(frozen=True)
class Profile:
    """One client type: the databases it sees and its chain of filters."""

    name: str
    databases: frozenset[str]
    chain: Chain
    suffix: str | None = None
    """`<database>-<suffix>` is this profile's virtual database; None: not reachable by name."""
    roles: frozenset[str] = frozenset()
    """A client needs one of these to use it; empty: any authenticated client (or anonymous, if allowed)."""
    users: frozenset[str] = frozenset()
    """As `roles`, by user name; a client that has either qualifies."""
    by_role: bool = False
    """Chosen for the plain database name if the client qualifies by role or user name."""
    header: tuple[str, str] | None = None
    """Chosen for the plain database name if this request header (lower-case name) has this value."""
    design_docs: bool = False
    """Whether `_design` documents are readable, unshaped."""
    all_docs: bool = True
    """Whether `_all_docs` may be listed."""
    find: bool = True
    """Whether `_find` may be used (it is evaluated on shaped documents)."""
    write: bool = True
    """False: every write is refused."""
    trusted: bool = False
    """Views, list, show, update, search, _index, _explain, _security ... pass to the source untouched."""
    orphans: Literal["winner", "refuse"] = "winner"
    """What a pushed revision is restored onto when the source has the body of none of its ancestors."""
    on_surplus: Literal["refuse", "discard"] = "refuse"
    """What happens to a write that the client would not read back (PutGet)."""
    device_headers: Mapping[str, str] = field(default_factory=dict)
    """Device attribute → request header (lower-case) it is read from."""
    epoch: str = ""
    """A digest of what decides the profile's projection: its rules. Changes when they change."""
    rules: tuple[Rule, ...] = ()
    """What the chain was built from, in its order."""

    @cached_property
    def audience(self) -> Audience | None:
        """How feeds find a client's documents; None: every changed document is judged."""
        return audience_of(self.chain, [rule.identity for rule in self.rules])

    @property
    def depends_on_client(self) -> bool:
        """Whether clients may be shown different things of a document. If not, what one is shown is what all are."""
        return self.chain.depends_on_client

    def virtual_name(self, database: str) -> str | None:
        """The name by which clients choose this profile of `database`; None if it is not chosen by name."""
        return None if self.suffix is None else f"{database}-{self.suffix}"


@dataclass(frozen=True)
class Config:
    server: Server
    sources: Mapping[str, Source]
    databases: Mapping[str, Database]
    profiles: Mapping[str, Profile]
    """In the order of the file: where several profiles qualify by role, the first is chosen."""
    warnings: tuple[str, ...] = ()
    """What is allowed, and dangerous or without effect: one message each, as for mistakes."""
    registered: Mapping[str, list[EntryPoint]] = field(default_factory=dict, repr=False)
    """The filters that could be named."""
    directory: Path = Path()
    """Where a site's own modules lie."""

    @property
    def indexed(self) -> tuple[Database, ...]:
        """The databases that have a feed index."""
        return tuple(each for each in self.databases.values() if self.unindexed(each) is None)

    def unindexed(self, database: Database) -> str | None:
        """Why a database has no feed index, for people; None: it has one."""
        if self.server.data is None:
            return "it needs server.data, the directory where indexes are kept"
        if not database.may_be_indexed:
            return 'it needs a source with an account, as auth = "service"'
        return None if database.index else "its index is false"
