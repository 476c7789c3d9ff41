"""An S3 server on this machine, for trying what is done on a store: moto's, one request at a time.

moto looks whether a condition holds and then writes, with nothing between that keeps others out: of 200 races of four clients one had two
winners. So requests go through one lock here, which makes each as atomic as the real service promises. Objects are kept in memory.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from ranker.files import InputError
from scripts.cli.store_address import Address

BUCKET = "offermix"
PASSPHRASE = "only-of-a-server-on-this-machine"
OTHER_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ALLOW_HTTP")
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class LocalS3:
    """A running server. answers: statuses that the next requests get in place of an answer, before anything is done.

    lost: ends of paths; the next put of each is done and then answered with status 500, as when an answer gets lost.
    """

    port: int = 0
    answers: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def address(self, prefix: str) -> Address:
        return Address("s3", BUCKET, prefix)

    def through(self, app: App) -> App:
        """The server's application, one request at a time."""
        one = threading.Lock()

        def serve(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            with one:
                self.requests.append(f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}")
                if self.answers:
                    start(f"{self.answers.pop(0)} Answered", [("Content-Length", "0")])
                    return [b""]
                method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"]
                if lost := [end for end in self.lost if method == "PUT" and path.endswith(end)]:
                    self.lost.remove(lost[0])
                    list(app(environment, lambda *_: None))
                    start("500 Lost", [("Content-Length", "0")])
                    return [b""]
                return list(app(environment, start))

        return serve


@contextlib.contextmanager
def local_s3() -> Iterator[LocalS3]:
    """A server with one bucket, which the environment of this process and its children names as long as it runs."""
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server
    except ImportError:
        raise InputError(["a local S3 server needs the package moto, of the dependency group test"]) from None

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:
            """Requests are no news."""

    served = LocalS3()
    server = make_server(
        "127.0.0.1",
        0,
        served.through(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=Quiet,
    )
    served.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with _environment(served.port):
            _make_bucket(served.port)
            yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _make_bucket(port: int) -> None:
    """moto tells services apart by the scope that a request is signed for."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    scope = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    connection.request("PUT", f"/{BUCKET}", headers={"Authorization": scope})
    if connection.getresponse().status != 200:
        raise RuntimeError("the local S3 server makes no bucket")
    connection.close()


@contextlib.contextmanager
def _environment(port: int) -> Iterator[None]:
    given = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": PASSPHRASE,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    names = (*given, *OTHER_VARIABLES)
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(kept)
