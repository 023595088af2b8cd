"""Which view a request gets: database name, client and headers → View. No match is a denial.

A virtual database `<database>-<suffix>` names its profile. The plain database name leaves the choice to the request:
the first profile in the configuration whose header it has, or whose role or user name. In each case the client must
qualify for the profile: a profile's `roles` and `users` guard it however it is chosen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType

from proxy.config.model import Config, Database, Profile
from proxy.contract import Client
from proxy.errors import BadRequest, Forbidden, NotFound
from proxy.feeds.hub import Hub
from proxy.identify import Principal
from proxy.past import Strand
from proxy.upstream import Upstream
from proxy.view import View, make_view, name_or_nobody

_KEPT = 10_000
_MOST_TOLD = 256


class Views:
    """The views of a configuration."""

    def __init__(
        self, config: Config, upstreams: Mapping[str, Upstream], hubs: Mapping[str, Hub] = MappingProxyType({})
    ) -> None:
        self._config = config
        self._hubs = hubs
        self._upstreams = upstreams
        self._virtual = dict(_virtual_databases(config))
        self._open: OrderedDict[tuple[object, ...], View] = OrderedDict()
        self._strand_key = blake2b(config.server.secret, person=b"strand").digest()
        self._strands: OrderedDict[tuple[str, ...], Strand] = OrderedDict()

    def locate(self, name: str) -> Database:
        """The database behind a name that a client uses. Raises NotFound."""
        if name in self._virtual:
            return self._virtual[name][0]
        database = self._config.databases.get(name)
        if database is None:
            raise NotFound("Database does not exist.")
        return database

    def names(self, principal: Principal, headers: Mapping[str, str]) -> list[str]:
        """The databases that a client may use with a request as this one: by which name it can open a view."""
        named = {**self._config.databases, **{name: database for name, (database, _) in self._virtual.items()}}
        return sorted(name for name, database in named.items() if self._chosen(name, database, principal, headers))

    def open(self, name: str, principal: Principal, headers: Mapping[str, str]) -> View:
        """The view for a request. Raises Forbidden if no profile is for this client."""
        known: View | None = principal.views.get(name)
        if known is not None:
            return known
        database = self.locate(name)
        profile = self._chosen(name, database, principal, headers)
        if profile is None:
            raise Forbidden("You are not allowed to access this db.")
        device = {key: _told(headers, header) for key, header in profile.device_headers.items() if header in headers}
        key = (
            name,
            profile.name,
            principal.name,
            principal.roles,
            *principal.headers.items(),
            *device.items(),
        )
        view = self._open.get(key)
        if view is None:
            client = Client(principal.name, principal.roles, profile.name, device)
            upstream = self._upstreams[database.source.name]
            view = make_view(
                name,
                database,
                profile,
                client,
                principal,
                upstream,
                self._config.server.secret,
                vary=self._vary(name, profile),
                hub=self._hubs.get(database.name),
                strand=self._strand(name, database, profile, client),
            )
            self._open[key] = view
            if len(self._open) > _KEPT:
                self._open.popitem(last=False)
        if name in self._virtual and not profile.device_headers:
            principal.views[name] = view
        return view

    def _strand(self, name: str, database: Database, profile: Profile, client: Client) -> Strand:
        """One for all ways in which a client can log in, all addresses, and whatever its roles are."""
        if name in self._virtual:
            place = f"profile\0{profile.name}"
        else:
            place = f"name\0{database.name}\0{profile.name if profile.header is not None else ''}"
        said = repr(sorted(client.device.items())).encode("utf-8", "surrogatepass") if client.device else b""
        # whatever devices come up with, a user has no more than so many
        kind = blake2b(said, digest_size=1).hexdigest() if said else ""
        key = (database.name, place, kind, name_or_nobody(client.name))
        strand = self._strands.get(key)
        if strand is None:
            strand = self._strands[key] = Strand(*key[1:], self._strand_key)
            if len(self._strands) > _KEPT:
                self._strands.popitem(last=False)
        return strand

    def _vary(self, name: str, profile: Profile) -> str:
        """The request headers on which an answer under this database name depends."""
        headers = {"Cookie", "Authorization", *(header.title() for header in profile.device_headers.values())}
        if name not in self._virtual:
            headers.update(each.header[0].title() for each in self._config.profiles.values() if each.header)
        return ", ".join(sorted(headers))

    def _chosen(
        self, name: str, database: Database, principal: Principal, headers: Mapping[str, str]
    ) -> Profile | None:
        if name in self._virtual:
            profile = self._virtual[name][1]
            return profile if qualifies(principal, profile) else None
        for profile in self._config.profiles.values():
            if database.name in profile.databases and _applies(profile, principal, headers):
                return profile
        return None


def _told(headers: Mapping[str, str], name: str) -> str:
    """What a device says of itself. Views are remembered with it, so that it is bounded. Raises BadRequest."""
    value = headers[name]
    if len(value) > _MOST_TOLD or not value.isprintable():
        raise BadRequest(f"The header {name} must be text of at most {_MOST_TOLD} characters.")
    return value


def _virtual_databases(config: Config) -> Iterator[tuple[str, tuple[Database, Profile]]]:
    for profile in config.profiles.values():
        if profile.suffix is not None:
            for name in sorted(profile.databases):
                yield f"{name}-{profile.suffix}", (config.databases[name], profile)


def qualifies(principal: Principal, profile: Profile) -> bool:
    """Whether a client may use a profile at all."""
    if not profile.roles and not profile.users:
        return True
    return principal.name in profile.users or not profile.roles.isdisjoint(principal.roles)


def _applies(profile: Profile, principal: Principal, headers: Mapping[str, str]) -> bool:
    """Whether a profile is chosen for a plain database name."""
    if not qualifies(principal, profile):
        return False
    if profile.header is not None:
        header, value = profile.header
        return headers.get(header) == value
    return profile.by_role and bool(profile.roles or profile.users)
