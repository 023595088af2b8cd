"""A `kill -9` loses nothing that was acknowledged, and what is found afterwards is whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from proxy.endpoint.server import Server
from proxy.errors import NotFound

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from proxy.endpoint.server import Server

    async def write(database, worker):
        rev = None
        for number in range(1_000_000):
            doc_id = f"{worker}-{number}"
            await database.put(doc_id, {"n": number})
            counter = await database.put(f"counter-{worker}", {"n": number}, rev=rev)
            rev = counter.rev
            upload = database.new_upload()
            await upload.write(doc_id.encode() * 10_000)
            await database.put_attachment(f"att-{doc_id}", "x", upload, rev=None, content_type="t/p")
            print(doc_id, flush=True)

    async def main():
        server = Server(Path(sys.argv[1]))
        database = await server.create("db")
        await asyncio.gather(*(write(database, worker) for worker in range(4)))

    asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 40, 150])
async def test_kill(tmp_path: Path, lines: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        acknowledged = [output.readline().strip() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in output if line.endswith("\n")]
    process.wait()

    server = Server(tmp_path)
    database = server.database("db")
    for doc_id in acknowledged:
        worker, number = doc_id.split("-")
        assert database.get(doc_id).body == b'{"n":%s}' % number.encode()
        assert int(database.get(f"counter-{worker}").rev.split("-")[0]) > int(number)
        [attachment] = database.get(f"att-{doc_id}").attachments
        assert await database.attachment_data(attachment) == doc_id.encode() * 10_000
    changes = list(database.changes())
    assert [change.seq for change in changes] == sorted({change.seq for change in changes})
    assert database.doc_count == len(changes) == sum(1 for _ in database.all_docs())
    assert database.update_seq == changes[-1].seq
    assert len(changes) >= len(acknowledged) * 2
    await database.put("after", {})
    await server.close()


async def test_many_writers_share_commits(tmp_path: Path) -> None:
    server = Server(tmp_path)
    database = await server.create("db")
    updates = await asyncio.gather(*(database.put(f"d{number}", {"n": number}) for number in range(500)))
    assert len({update.id for update in updates}) == 500
    await server.close()
    again = Server(tmp_path)
    assert again.database("db").doc_count == 500
    with pytest.raises(NotFound):
        again.database("db").get("d500")
    await again.close()
