"""What the image is told to run beside the proxy itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"


class Up(BaseHTTPRequestHandler):
    """Is up, as a server and to whoever takes it for a proxy."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_the_health_check_asks_the_container_itself() -> None:
    """Whatever proxy the container is to use for the rest of the world."""
    found = re.search(
        r"HEALTHCHECK .*? CMD (\[.*?\])\nENTRYPOINT", DOCKERFILE.read_text().replace("\\\n", ""), re.DOTALL
    )
    assert found is not None
    _, *arguments = json.loads(found[1])
    Up.asked = []
    with HTTPServer(("127.0.0.1", 0), Up) as server:
        Thread(target=server.handle_request, daemon=True).start()
        command = [argument.replace(":5984", f":{server.server_port}") for argument in arguments]
        environment = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        subprocess.run([sys.executable, *command], check=True, env=environment)
    assert Up.asked == ["/_up"]
