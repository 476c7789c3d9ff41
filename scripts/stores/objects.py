"""Objects below one prefix of a bucket: read whole or in pieces, listed, made where they are absent, swapped by version.

Each function is one request that retries by itself. What goes wrong is one sentence: what somebody must set right first is an InputError,
what may pass by itself is StoreFailed. Neither repeats what a server or the library said, which may hold more than people should see.

A watcher (`watched`) is told of every request before and after it: tests stop there.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ranker.files import InputError
from scripts.cli.store_address import Address
from scripts.stores.endpoint import plain_http

if TYPE_CHECKING:
    from obstore.store import GCSStore, MemoryStore, RetryConfig, S3Store

Kind = Literal["read", "pieces", "list", "create", "swap"]
RETRIES, SECONDS_OF_RETRIES = 6, 60
SECONDS_SMALL, SECONDS_LARGE = 30, 1800
"""Of one request, of an object that people read and of a file of rows."""
LARGEST = 5 << 30
"""Bytes; one put takes no more."""
STATUS = re.compile(r"status code: (\d{3})")
NO_CREDENTIALS = re.compile(r"http://(169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal)/")
"""Where the library asks a machine of a cloud for credentials, after the environment had none."""


class StoreFailed(Exception):
    """A store did not answer as it should; the same call may succeed later."""


class Request(NamedTuple):
    """key: below the prefix."""

    kind: Kind
    key: str


class RequestWatcher(Protocol):
    """Is told of every request; what it raises ends the request's caller."""

    def before(self, request: Request) -> None: ...
    def after(self, request: Request) -> None: ...


@dataclass(frozen=True)
class Stored:
    """An object as it was read. version: what the store calls this content of it."""

    content: bytes
    version: dict[str, str]


_watchers: list[RequestWatcher] = []


@contextlib.contextmanager
def watched(watcher: RequestWatcher) -> Iterator[None]:
    """Within it the watcher is told of every request of this process."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@dataclass(frozen=True)
class ObjectStore:
    """Objects below an address. opened: for tests, another store of the library; retries: of one request."""

    address: Address
    opened: "MemoryStore | None" = None
    retries: int = RETRIES
    wait: timedelta = field(default=timedelta(seconds=SECONDS_OF_RETRIES))

    def place(self, key: str) -> str:
        """Of an object, for people."""
        return f"{self.address}/{key}"

    def read(self, key: str) -> Stored | None:
        """The object's content, or None where there is none."""
        import obstore

        with self._request("read", key):
            try:
                found = obstore.get(self._small, key)
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None
            return Stored(bytes(found.bytes()), _version(found.meta["e_tag"], found.meta["version"]))

    def pieces(self, key: str) -> Iterator[bytes]:
        """The object's content in pieces. InputError where there is none."""
        import obstore

        with self._request("pieces", key):
            try:
                yield from (bytes(piece) for piece in obstore.get(self._large, key).stream(min_chunk_size=8 << 20))
            except FileNotFoundError:
                raise InputError([f"{self.place(key)}: there is no such object"]) from None

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every object below a prefix, by key."""
        import obstore

        with self._request("list", prefix):
            batches = obstore.list(self._small, prefix)
            return {meta["path"]: meta["size"] for batch in batches for meta in batch}

    def create(self, key: str, content: bytes) -> bool:
        """Makes the object; False where one is there already, whatever is in it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._request("create", key):
            try:
                obstore.put(self._of(len(content)), key, content, mode="create")
                return True
            except AlreadyExistsError:
                return False

    def swap(self, key: str, content: bytes, version: dict[str, str] | None) -> bool:
        """Puts the content in the place of this version, or of nothing; False where something else is there by now."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._request("swap", key):
            try:
                mode: Any = "create" if version is None else version
                obstore.put(self._small, key, content, mode=mode)
                return True
            except (AlreadyExistsError, PreconditionError):
                return False

    def _of(self, size: int) -> "S3Store | GCSStore | MemoryStore":
        return self._small if size < 1 << 20 else self._large

    @cached_property
    def _small(self) -> "S3Store | GCSStore | MemoryStore":
        return self._open(SECONDS_SMALL)

    @cached_property
    def _large(self) -> "S3Store | GCSStore | MemoryStore":
        return self._open(SECONDS_LARGE)

    def _open(self, seconds: int) -> "S3Store | GCSStore | MemoryStore":
        if self.opened is not None:
            return self.opened
        plain = plain_http(self.address)
        with self._told("open", ""):
            from obstore.store import GCSStore, S3Store

            retry: RetryConfig = {"max_retries": self.retries, "retry_timeout": self.wait}
            kind = S3Store if self.address.scheme == "s3" else GCSStore
            return kind(
                self.address.bucket,
                prefix=self.address.prefix or None,
                client_options={"allow_http": plain, "timeout": timedelta(seconds=seconds)},
                retry_config=retry,
            )

    @contextlib.contextmanager
    def _request(self, kind: Kind, key: str) -> Iterator[None]:
        request = Request(kind, key)
        for watcher in _watchers:
            watcher.before(request)
        with self._told(kind, key):
            yield
        for watcher in _watchers:
            watcher.after(request)

    @contextlib.contextmanager
    def _told(self, kind: str, key: str) -> Iterator[None]:
        """Errors of the library as sentences of ours."""
        try:
            yield
        except (InputError, StoreFailed):
            raise
        except ImportError:
            raise InputError([f"{self.address}: needs the package obstore, which is not installed"]) from None
        except Exception as error:
            if not (type(error).__module__.startswith("obstore") or isinstance(error, FileNotFoundError)):
                raise
            raise self._explained(kind, self.place(key).rstrip("/"), error) from None

    def _explained(self, kind: str, place: str, error: Exception) -> Exception:
        """What somebody must set right, or what may pass by itself."""
        name, text = type(error).__name__, str(error)
        found = STATUS.search(text)
        status = "" if found is None else f" (status {found[1]})"
        if NO_CREDENTIALS.search(text):
            return InputError([f"{place}: may not be {_done(kind)}: the environment has no credentials for it"])
        if name in ("PermissionDeniedError", "UnauthenticatedError") or (found and found[1] in ("401", "403")):
            return InputError([f"{place}: may not be {_done(kind)}: no permission{status}"])
        if isinstance(error, FileNotFoundError):
            return InputError(
                [f"{place}: there is no such bucket, or the environment names another store's endpoint{status}"]
            )
        why = f"it answered with status {found[1]}" if found else "it did not answer in time, or could not be reached"
        return StoreFailed(f"{place}: could not be {_done(kind)}: {why}, {self.retries} retries included")

    def _check_bucket(self, error: FileNotFoundError) -> None:
        """An object that is not there is no fault; a bucket that is not there is."""
        if "NoSuchBucket" in str(error):
            raise error


def _done(kind: str) -> str:
    return {"read": "read", "pieces": "read", "list": "listed", "open": "opened"}.get(kind, "written")


def _version(e_tag: str | None, version: str | None) -> dict[str, str]:
    return {name: held for name, held in (("e_tag", e_tag), ("version", version)) if held is not None}
