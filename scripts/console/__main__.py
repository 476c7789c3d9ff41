"""A page to edit, try, compare, propose and publish policies: `python -m scripts.console [runs=DIR] [run=NAME] [port=8080]`."""

import logging
import socket

import uvicorn

from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import ConsoleSettings
from scripts.console.app import make_app
from scripts.console.run_list import find_run

HOST = "127.0.0.1"
log = logging.getLogger("offermix.console")


def run(settings: ConsoleSettings) -> None:
    """Serves the page until it is interrupted; InputError where the port is taken or there are no runs."""
    if not settings.paths.runs.is_dir():
        raise InputError([f"runs: {settings.paths.runs}: there is no such folder"])
    wanted = settings.console.run
    if wanted is not None:
        find_run(settings.paths.runs, wanted)
    with listening(settings.console.port) as port:
        number = port.getsockname()[1]
        page = "" if wanted is None else f"runs/{wanted}"
        log.info("The console is at http://%s:%d/%s (Ctrl-C ends it)", HOST, number, page)
        app = make_app(settings, number)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[port])


def listening(port: int) -> socket.socket:
    """A socket of this machine alone."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(128)
    except OSError as error:
        made.close()
        raise InputError([f"port={port}: cannot be used on {HOST} ({error.strerror}); name another one"]) from None
    return made


if __name__ == "__main__":
    entry.main("console", ConsoleSettings, run)
