"""What no key shows on its own: keys that need each other, profiles in each other's way, and dangers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.config.environment import variable_for
from proxy.config.lines import Path, dotted
from proxy.config.model import Config, Cors, Database, Profile, Source
from proxy.config.problems import Problems
from proxy.config.values import MAX_DATABASE_NAME, database_name_fault


def check(config: Config, raw: dict[str, Any], problems: Problems) -> None:
    """Note the mistakes and dangers in a configuration whose single values are right. `raw` is the file."""
    for section, purpose in _NEEDED.items():
        if raw.get(section, {}) == {}:
            problems.add((section,), f"there is none; {purpose}")
    if config.server.metrics is not None and _is_taken(config.server.metrics, (config.server.host, config.server.port)):
        problems.add(("server", "metrics"), "is the address of server.bind; choose another port")
    if config.server.cors is not None:
        _check_cors(config.server.cors, raw["server"]["cors"], problems)
    for source in config.sources.values():
        _check_source(source, len(config.sources) == 1, problems)
    for database in config.databases.values():
        _check_database(database, raw, problems)
    for profile in config.profiles.values():
        _check_profile(profile, raw["profiles"][profile.name], problems)
    _check_clashes(config, problems)
    _warn(config, raw, problems)


_NEEDED = {
    "sources": "add the CouchDB behind the proxy, as [sources.main] with its url",
    "databases": "add one, as [databases.clinic]",
    "profiles": 'without one nobody gets anything; add one, as [profiles.phone] with databases = ["clinic"]',
}


def _is_taken(address: tuple[str, int], by: tuple[str, int]) -> bool:
    """Whether both cannot be listened on. Port 0 is any free one."""
    (host, port), (other, taken) = address, by
    everywhere = "::" if ":" in host else "0.0.0.0"
    same = host == other or (everywhere in (host, other) and (":" in host) == (":" in other))
    return same and port == taken != 0


def _check_cors(cors: Cors, table: Any, problems: Problems) -> None:
    listed = table.get("origins") if isinstance(table, dict) else None
    if cors.credentials and isinstance(listed, list) and "*" in listed:
        message = 'cannot be true with origins = ["*"]: any page could act for whoever visits it; name the origins'
        problems.add(("server", "cors", "credentials"), message)


_LOGIN_KEYS = {"service": ("username", "password"), "cookie": ("username", "password"), "iam": ("api_key",)}


def _check_source(source: Source, only: bool, problems: Problems) -> None:
    path = ("sources", source.name)

    def in_environment(key: str) -> str:
        return f" (or set {variable_for(source.name, key, only=only)})"

    for key in _LOGIN_KEYS.get(source.auth, ()):
        if getattr(source, key) is None and not problems.about((*path, key)):
            problems.add((*path, key), f'is missing; auth = "{source.auth}" logs in with it{in_environment(key)}')
    if source.auth == "proxy" and source.proxy_secret is None and not problems.about((*path, "proxy_secret")):
        remedy = "set it to the [chttpd_auth] secret of that CouchDB" + in_environment("proxy_secret")
        problems.add((*path, "proxy_secret"), f'is missing; auth = "proxy" signs with it: {remedy}')
    if source.auth != "proxy" and source.proxy_hash != "sha256":
        problems.add((*path, "proxy_hash"), f'has no effect with auth = "{source.auth}"; remove it')
    if source.auth != "proxy" and source.roles:
        problems.add((*path, "roles"), f'has no effect with auth = "{source.auth}"; remove it, or use auth = "proxy"')
    if source.auth == "proxy" and source.roles and source.username is None:
        problems.add((*path, "username"), "is missing; roles are sent with it. Without both, the client's own are sent")


def _check_database(database: Database, raw: dict[str, Any], problems: Problems) -> None:
    fault = database_name_fault(database.name)
    if fault is not None:
        remedy = "rename it here; its name at the source goes into name"
        problems.add(("databases", database.name), f'"{database.name}" {fault}; {remedy}')


def _check_profile(profile: Profile, table: dict[str, Any], problems: Problems) -> None:
    path = ("profiles", profile.name)
    if not profile.name.isprintable():
        problems.add(path, "a profile's name must be visible characters in one line")
    if profile.by_role and not (profile.roles or profile.users):
        problems.add((*path, "by_role"), "needs roles or users to choose the profile by; add one of them")
    if table.get("suffix") is False and not table.get("by_role") and "header" not in table:
        problems.add(path, "nothing chooses this profile; give it a suffix, a header, or by_role with roles or users")
    for database in sorted(profile.databases):
        virtual = profile.virtual_name(database)
        if virtual is not None and len(virtual) > MAX_DATABASE_NAME:
            problems.add((*path, "suffix"), f'"{virtual}" is longer than a database name may be; shorten the suffix')
            break


def _check_clashes(config: Config, problems: Problems) -> None:
    """No request may match two profiles: the first to claim something has it, the second is the mistake."""
    claimed: dict[tuple[str, ...], Path] = {("the name", name): ("databases", name) for name in config.databases}
    for profile in config.profiles.values():
        reported = set()
        for claim, key in _claims(profile):
            owner = claimed.setdefault(claim, ("profiles", profile.name))
            if owner != ("profiles", profile.name) and (key, owner) not in reported:
                reported.add((key, owner))
                problems.add(("profiles", profile.name, key), _clash(claim, key, owner))


def _claims(profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    """What makes a request one for this profile, and the key that says so."""
    for database in sorted(profile.databases):
        virtual = profile.virtual_name(database)
        if virtual is not None:
            yield ("the name", virtual), "suffix"
        if profile.header is not None:
            yield ("the header", ": ".join(profile.header), database), "header"
        elif profile.by_role:
            for role in sorted(profile.roles):
                yield ("the role", role, database), "by_role"
            for user in sorted(profile.users):
                yield ("the user", user, database), "by_role"


def _clash(claim: tuple[str, ...], key: str, owner: Path) -> str:
    what, value, *database = claim
    where = f' for "{database[0]}"' if database else ""
    remedies = {
        "suffix": "choose another suffix",
        "header": "choose another value",
        "by_role": "take it out of one of them, or set by_role = false in one",
    }
    return f'{what} "{value}"{where} belongs to {dotted(owner)} already; {remedies[key]}'


def _warn(config: Config, raw: dict[str, Any], problems: Problems) -> None:
    shown = {database for profile in config.profiles.values() for database in profile.databases}
    for database in config.databases.values():
        if database.name not in shown:
            problems.warn(("databases", database.name), "no profile shows this database: nobody can reach it")
    for database in config.databases.values():
        if raw["databases"][database.name].get("index") is True:
            _warn_of_index(database, config, problems)
    if config.server.data is not None and config.databases and not config.indexed:
        reasons = dict.fromkeys(filter(None, map(config.unindexed, config.databases.values())))
        problems.warn(("server", "data"), f"has no effect, as no database has a feed index: {', or '.join(reasons)}")
    used = {database.source.name for database in config.databases.values()}
    for source in config.sources.values():
        if source.name not in used:
            problems.warn(("sources", source.name), "no database comes from this source")
        if source.auth == "client" and (source.username or source.password):
            message = 'serves `couch-tailor shape --id` only: auth = "client" passes on what each client sends'
            problems.warn(("sources", source.name, "username" if source.username else "password"), message)
        _warn_of_iam(source, raw["sources"][source.name], problems)
    for profile in config.profiles.values():
        _warn_of_profile(profile, config, problems)


def _warn_of_index(database: Database, config: Config, problems: Problems) -> None:
    path = ("databases", database.name, "index")
    if config.server.data is None:
        problems.warn(path, "has no effect without server.data, the directory where indexes are kept")
    elif not database.may_be_indexed:
        message = 'has no effect: an index needs an account of its own at the source, as auth = "service"'
        problems.warn(path, message)


def _warn_of_iam(source: Source, table: dict[str, Any], problems: Problems) -> None:
    path = ("sources", source.name)
    if source.auth != "iam":
        for key in ("api_key", "token_url"):
            if key in table:
                problems.warn((*path, key), f'has no effect with auth = "{source.auth}"; it is for auth = "iam"')
        return
    for key in ("username", "password"):
        if key in table:
            problems.warn((*path, key), 'has no effect with auth = "iam", which logs in with api_key')
    if source.url.startswith("http:"):
        problems.warn((*path, "url"), "sends tokens of IBM Cloud without TLS; Cloudant's address begins with https")


def _warn_of_profile(profile: Profile, config: Config, problems: Problems) -> None:
    path = ("profiles", profile.name)
    everybody = not (profile.roles or profile.users)
    unsigned = [d for d in _databases(profile, config) if d.source.auth != "client"]
    if everybody and config.server.anonymous and not profile.rules:
        problems.warn(path, "shows whole documents to everybody: it has no filters, and server.anonymous is true")
    elif everybody and unsigned and not profile.rules:
        auth = unsigned[0].source.auth
        message = f'shows whole documents to every user: it has no filters, and the source has auth = "{auth}"'
        problems.warn(path, f"{message}; restrict it with roles or users")
    lent = [d.source for d in unsigned if d.source.one_account]
    if everybody and config.server.anonymous and profile.write and lent:
        whose = f'"{lent[0].username}"' if lent[0].auth == "proxy" else "service account"
        problems.warn(path, f"lets clients without an account write, with the rights of the source's {whose}")
    if profile.by_role and profile.header is not None:
        problems.warn((*path, "by_role"), "has no effect: for the plain database name the header alone decides")
    if profile.trusted and everybody:
        problems.warn(
            (*path, "trusted"),
            "everybody reaches the source's views and search, unfiltered; add roles or users",
        )
    elif profile.trusted and profile.rules:
        problems.warn((*path, "trusted"), "views and search of the source are passed on unfiltered")


def _databases(profile: Profile, config: Config) -> list[Database]:
    return [config.databases[name] for name in sorted(profile.databases) if name in config.databases]
