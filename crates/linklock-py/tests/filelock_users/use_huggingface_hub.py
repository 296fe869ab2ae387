"""huggingface_hub, from a server that is here: two processes download the same file into one cache, where the second one finds it
once it has the lock; and into one directory, where the second one replaces the file if it had not seen it before the lock."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pair import PATIENCE_S, kind_of, run_both

CONTENT = b"weights " * 1000
ETAG = "0123456789abcdef"
DOWNLOAD = """
import sys
from huggingface_hub import hf_hub_download
print(hf_hub_download("some/model", "weights.bin", **{sys.argv[1]: sys.argv[2]}))
"""


class Hub(ThreadingHTTPServer):
    def __init__(self, lock):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = lock
        self.under_way, self.held = 0, []
        self.most = 0
        self.both = threading.Barrier(2, timeout=PATIENCE_S)


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer()
        # Both go for the lock after this.
        self.server.both.wait()

    def do_GET(self):
        if "/resolve/" not in self.path:
            return self.send_error(404)
        self.server.held.append(kind_of(self.server.lock))
        self.server.under_way += 1
        self.server.most = max(self.server.most, self.server.under_way)
        # Long enough for the other one to come.
        time.sleep(0.5)
        self.server.under_way -= 1
        self.answer()
        self.wfile.write(CONTENT)

    def answer(self):
        self.send_response(200)
        for name, value in (("ETag", f'"{ETAG}"'), ("X-Repo-Commit", "0" * 40), ("Content-Length", len(CONTENT))):
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


def download(directory, option, lock):
    """How many downloads there were, how many at once, whether both have the file, and what was found at the lock's path meanwhile."""
    with Hub(lock) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        environment = {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(directory / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        files = run_both([["-c", DOWNLOAD, option, directory / option]] * 2, environment, directory)
        hub.shutdown()
    return len(hub.held), hub.most, all(Path(file.strip()).read_bytes() == CONTENT for file in files), hub.held


def run(directory: Path):
    in_cache = directory / f"cache_dir/.locks/models--some--model/{ETAG}.lock"
    in_directory = directory / "local_dir/.cache/huggingface/download/weights.bin.lock"
    number, _, cached, held = download(directory, "cache_dir", in_cache)
    _, at_once, downloaded, also_held = download(directory, "local_dir", in_directory)
    did = {"downloads into the cache": number, "downloads at once into a directory": at_once, "right": cached and downloaded}
    return did, held + also_held
