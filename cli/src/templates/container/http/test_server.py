import threading
import unittest
import urllib.request
from http.server import ThreadingHTTPServer

from server import Hello


class Serving(unittest.TestCase):
    def test_says_hello(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
            self.assertEqual((answer.status, answer.read()), (200, b"Hello, world!\n"))


if __name__ == "__main__":
    unittest.main()
