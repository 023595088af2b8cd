"""A configuration in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model import Config, Database, Profile, Server, Source
from proxy.core.audience import declares_audience
from proxy.listening import authority


def explain(config: Config) -> Iterator[str]:
    """Lines that say what each source, database and profile is for."""
    yield from _server(config.server)
    for source in config.sources.values():
        yield f"source {source.name}: {source.url}, {_account(source)}"
    for database in config.databases.values():
        why = config.unindexed(database)
        yield f"database {database.name}: {'has a feed index' if why is None else f'no feed index: {why}'}"
    for profile in config.profiles.values():
        yield ""
        yield from _profile(profile, config)


def _server(server: Server) -> Iterator[str]:
    without = "clients without an account are served" if server.anonymous else "clients need an account"
    yield f"listens on {authority(server.host, server.port)}; {without}"
    if server.cors is not None:
        whose = "of every origin" if "*" in server.cors.origins else f"from {_listed(server.cors.origins)}"
        yield f"pages {whose} are served{', with cookies' if server.cors.credentials else ''}"


def _account(source: Source) -> str:
    if source.auth == "client":
        return "asked with each client's own credentials"
    if source.auth == "service":
        return f"asked as {source.username}, for every client"
    if source.auth == "cookie":
        return f"asked as {source.username} by a session, for every client"
    if source.auth == "iam":
        return f"asked with an API key's tokens from {source.token_url}, for every client"
    as_whom = (
        f"{source.username} (roles: {_listed(source.roles)})" if source.username else "each client's name and roles"
    )
    return f"asked with proxy authentication, as {as_whom}"


def _profile(profile: Profile, config: Config) -> Iterator[str]:
    yield f"profile {profile.name} (rules {profile.epoch})"
    for database in sorted(profile.databases):
        yield from _item("shows", _database(profile, config.databases[database]))
    yield from _item("chosen by", "; ".join(_choices(profile)))
    yield from _item("used by", _users(profile, config.server))
    yield from _item("reading", "; ".join(_reading(profile)))
    yield from _item("feeds", _feeds(profile))
    yield from _item("writing", _writing(profile))
    if profile.device_headers:
        read = (f"device.{name} from {header}" for name, header in sorted(profile.device_headers.items()))
        yield from _item("device", ", ".join(read))
    if not profile.rules:
        yield from _item("filters", "none: documents are shown whole")
    for number, rule in enumerate(profile.rules, 1):
        text = f"{rule.use}: {rule.description}" if rule.description else rule.use
        yield from _item("filters" if number == 1 else "", f"{number}. {text}")


def _item(label: str, text: str) -> Iterator[str]:
    yield f"  {label:<9}  {text}".rstrip()


def _database(profile: Profile, database: Database) -> str:
    virtual = profile.virtual_name(database.name)
    names = [f"/{virtual}"] if virtual else []
    if profile.header or profile.by_role:
        names.append(f"/{database.name}")
    origin = "" if database.source_db == database.name else f" ({database.source_db} on {database.source.name})"
    return f"{database.name}{origin} as {' and '.join(names)}"


def _choices(profile: Profile) -> Iterator[str]:
    if profile.suffix is not None:
        yield f"name, ending in -{profile.suffix}"
    if profile.header is not None:
        yield f"request header {profile.header[0]}: {profile.header[1]}"
    elif profile.by_role:
        yield f"who the client is: {_qualified(profile)}"


def _users(profile: Profile, server: Server) -> str:
    if profile.roles or profile.users:
        return _qualified(profile)
    return "everybody" if server.anonymous else "everybody with an account"


def _qualified(profile: Profile) -> str:
    kinds = []
    if profile.roles:
        kinds.append(f"the role{_s(profile.roles)} {_listed(sorted(profile.roles))}")
    if profile.users:
        kinds.append(f"the user{_s(profile.users)} {_listed(sorted(profile.users))}")
    return " or ".join(kinds)


def _reading(profile: Profile) -> Iterator[str]:
    yield "documents and feeds"
    listed = [name for name, allowed in (("_all_docs", profile.all_docs), ("_find", profile.find)) if allowed]
    denied = [name for name, allowed in (("_all_docs", profile.all_docs), ("_find", profile.find)) if not allowed]
    if listed:
        yield _listed(listed)
    if denied:
        yield f"no {_listed(denied)}"
    yield "design documents" if profile.design_docs else "no design documents"
    if profile.trusted:
        yield "the source's views and search, unfiltered"


def _feeds(profile: Profile) -> str:
    if profile.chain.passes_all:
        return "every change is told of, without a look at the document"
    if profile.audience is not None:
        return f"a client's documents are found by {profile.audience.description or 'keys that a filter gives'}"
    late = [rule.use for rule in profile.rules if declares_audience(rule.filter)]
    if late:
        return f"every changed document is judged: {late[0]} comes after a filter that depends on the client"
    return "every changed document is judged"


def _writing(profile: Profile) -> str:
    if not profile.write:
        return "refused"
    surplus = {
        "refuse": "what a client would not read back is refused",
        "discard": "what a client would not read back is discarded",
    }
    orphans = {
        "winner": "onto the winning revision",
        "refuse": "refused",
    }
    return f"allowed; {surplus[profile.on_surplus]}; without a known ancestor {orphans[profile.orphans]}"


def _listed(words: object) -> str:
    return ", ".join(words)  # type: ignore[arg-type]


def _s(words: frozenset[str]) -> str:
    return "s" if len(words) > 1 else ""
