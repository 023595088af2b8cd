"""What is measured: a source, nginx in front of it, and the proxy in front of it, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from base64 import b64encode
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from proxy.config.model import Source
from proxy.core import jsonio
from proxy.upstream import JSON_HEADERS, Upstream

DATABASE = "bench"
AGAIN = "again"
"""The same database of the source by another name, with an index of its own, in configurations that ask for it."""
ACCOUNT = "couch-tailor-bench"
"""The account by which the proxy asks the source, and nobody else; made for the benchmark, with a password of it."""
_ACCOUNT_PATH = f"/_users/org.couchdb.user:{ACCOUNT}"
_CONFIGURATION = """
[server]
bind = "127.0.0.1:{port}"
secret = "a secret of the benchmark"
session_ttl = 3600
max_body = "256MiB"
{data}

[sources.main]
url = "{source}"
auth = "service"
username = "{user}"
password = "{password}"

[databases.{database}]
{again}
[profiles.none]
databases = {shown}
filters = []

[profiles.drop]
databases = {shown}
filters = [{{ use = "drop", paths = ["ssn", "billing", "notes[?private]"] }}]

[profiles.phone]
databases = {shown}
filters = [
  {{ use = "select", where = "type == 'patient' && facility != 'elsewhere'" }},
  {{ use = "drop", paths = ["ssn", "billing", "notes[?private]"] }},
]

[profiles.own]
databases = {shown}
device = {{ owner = "X-Owner" }}
filters = [{{ use = "select", where = "owner == client.device.owner || owner == 'everybody'" }}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A server process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def resident(self) -> int:
        """Bytes of memory that the process holds at present."""
        return _resident(self.process.pid)

    @property
    def tree_resident(self) -> int:
        """Bytes of memory that the process and those that it has started hold at present."""
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        family = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return sum(_resident(pid) for pid in family)

    def child(self, name: str) -> int:
        """The number of a process that was started by this one, by a word of its command."""
        for path in Path("/proc").iterdir():
            mine = path.name.isdigit() and _parent(path) == self.process.pid
            if mine and name.encode() in (path / "cmdline").read_bytes().split(b"\0"):
                return int(path.name)
        raise RuntimeError(f"there is no {name}")

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


def _resident(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:  # it has ended
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class Stage:
    """All servers of a benchmark. `url`: a CouchDB that is there already; otherwise the embedded endpoint on disk."""

    def __init__(self, url: str | None, user: tuple[str, str]) -> None:
        self.user = user
        self._password = token_hex(16)
        self._given = url
        self._processes: list[Process] = []
        self.directory = Path(tempfile.mkdtemp(prefix="couch-tailor-bench-"))

    async def __aenter__(self) -> Self:
        try:
            self.source_url = self._given or await self._start_endpoint()
            await self._make_account()
            await self.prepare()
            self.proxy = await self.start_proxy(self.configure())
            self.nginx = await self._start_nginx()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.request("DELETE", self.source_url, f"/{DATABASE}")
        held = await self.request("GET", self.source_url, _ACCOUNT_PATH)
        await self.request("DELETE", self.source_url, f"{_ACCOUNT_PATH}?rev={held.get('_rev')}")
        await self._stop()

    async def _stop(self) -> None:
        for process in reversed(self._processes):
            await process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def authorization(self) -> str:
        return "Basic " + b64encode(":".join(self.user).encode()).decode()

    def client(self, url: str) -> Upstream:
        return Upstream(Source("bench", url), 600.0)

    async def request(self, method: str, url: str, path: str, body: Any = None) -> Any:
        client = self.client(url)
        data = None if body is None else jsonio.dumps(body)
        headers = {**JSON_HEADERS, "Authorization": self.authorization}
        async with await client.request(method, path, headers=headers, body=data) as reply:
            answer = await reply.json()
        client.close()
        return answer

    async def settle(self) -> None:
        """Wait until the source compacts nothing, as CouchDB does by itself after some writes, with a processor."""
        while b"compaction" in jsonio.dumps(await self.request("GET", self.source_url, "/_active_tasks")):
            await asyncio.sleep(0.05)

    async def describe(self) -> str:
        welcome = await self.request("GET", self.source_url, "/")
        return f"source: {'CouchDB' if self._given else 'embedded endpoint'} {welcome.get('version', '')}".strip()

    async def prepare(self) -> None:
        """Make the database anew."""
        await self.request("DELETE", self.source_url, f"/{DATABASE}")
        await self.request("PUT", self.source_url, f"/{DATABASE}")
        only = {"names": [ACCOUNT], "roles": ["_admin"]}
        await self.request("PUT", self.source_url, f"/{DATABASE}/_security", {"admins": only, "members": only})

    async def _make_account(self) -> None:
        await self.request("PUT", self.source_url, "/_users")  # a CouchDB that was just set up has none yet
        held = await self.request("GET", self.source_url, _ACCOUNT_PATH)
        user = {"name": ACCOUNT, "password": self._password, "roles": [], "type": "user"}
        known = {"_rev": held["_rev"]} if "_rev" in held else {}
        await self.request("PUT", self.source_url, _ACCOUNT_PATH, {**user, **known})

    async def _start_endpoint(self) -> str:
        port = free_port()
        command = [
            "endpoint",
            "--port",
            str(port),
            "--data",
            str(self.directory / "data"),
            "--admin",
            ":".join(self.user),
        ]
        return (await self._start([*_tailor(), *command], port)).url

    def configure(self, data: Path | None = None, *, twice: bool = False) -> Path:
        """A configuration file; `data`: where indexes are kept; `twice`: the database is there as AGAIN, too."""
        path = self.directory / ("indexed.toml" if data else "bench.toml")
        path.write_text(
            _CONFIGURATION.format(
                port=0,
                source=self.source_url,
                user=ACCOUNT,
                password=self._password,
                database=DATABASE,
                data=f'data = "{data}"' if data else "",
                again=f'[databases.{AGAIN}]\nname = "{DATABASE}"\n' if twice else "",
                shown=f'["{DATABASE}", "{AGAIN}"]' if twice else f'["{DATABASE}"]',
            )
        )
        return path

    async def start_proxy(self, path: Path, workers: int = 1) -> Process:
        """A proxy with a configuration."""
        port = free_port()
        serve = ["serve", "--config", str(path), "--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
        return await self._start([*_tailor(), *serve], port)

    async def command(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command of couch-tailor, begun; it prints nothing."""
        nothing = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*_tailor(), *arguments, stdout=nothing, stderr=nothing)

    async def _start_nginx(self) -> Process | None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None:
            print("nginx is not installed: its column stays empty", file=sys.stderr)
            return None
        port = free_port()
        path = self.directory / "nginx.conf"
        path.write_text(_nginx(port, self.source_url.removeprefix("http://").rstrip("/"), self.directory))
        return await self._start([nginx, "-c", str(path), "-p", str(self.directory)], port)

    async def _start(self, command: list[str], port: int) -> Process:
        log = (self.directory / f"{port}.log").open("wb")
        made = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        log.close()
        process = Process(made, f"http://127.0.0.1:{port}")
        self._processes.append(process)
        for _ in range(200):
            if made.returncode is not None:
                break
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{command[0]} did not start:\n{(self.directory / f'{port}.log').read_text()}")


def _tailor() -> list[str]:
    return [str(Path(sys.executable).parent / "couch-tailor")]


def _nginx(port: int, source: str, directory: Path) -> str:
    return f"""
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {directory}; proxy_temp_path {directory};
  fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
  upstream source {{ server {source}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
