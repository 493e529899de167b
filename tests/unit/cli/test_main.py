"""What a command says when it fails."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

ANSWER = rb'{"jsonrpc":"2.0","id":%d,"error":{"code":-1,"message":"no \u001b]0;title\u0007 \u202egnorw"}}'


class Node(BaseHTTPRequestHandler):
    """Refuses everything, with escape codes in what it says."""

    def do_POST(self) -> None:
        asked = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
        answer = ANSWER % asked["id"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name in the standard library
        """Say nothing."""


def test_words_of_a_node_do_not_act_on_the_terminal() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Node) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        rpc = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-m", "slotzero", "check", "--newest", "--rpc", rpc]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        server.shutdown()
        thread.join()
    assert done.returncode != 0
    assert done.stderr.startswith("slotzero: ")
    assert "title" in done.stderr
    assert all(char.isprintable() or char == "\n" for char in done.stderr)
