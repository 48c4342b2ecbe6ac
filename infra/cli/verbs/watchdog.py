"""`antenna watchdog`: gets a site's beats on another host, and calls when they stop coming."""

from __future__ import annotations

import hmac
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from infra.cli.failure import Failure
from infra.cli.session import Session, Verb, epilog, options
from infra.watch import AFTER, Watch, is_beat, lines
from monitoring.oncall import RECEIVER_PORT

LARGEST = 1 << 20  # bytes of a notification
CALL_SECONDS = 60.0  # in which a call has been made, or has failed
RETRY_SECONDS = 30.0  # after a call that failed


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna watchdog --run 'mail -s \"the Antenna is silent\" oncall@example.org'",
        "antenna watchdog --listen 10.77.0.1:9095   what the embedded site tells this host",
    ),
)
@click.option(
    "--listen",
    default=f"127.0.0.1:{RECEIVER_PORT}",
    show_default=True,
    help="Address and port for beats and pages; port 0 takes one that is free.",
)
@click.option("--after", type=click.FloatRange(min=1), default=AFTER, show_default=True, help="Seconds.")
@click.option("--again", type=click.FloatRange(min=1), default=3600, show_default=True, help="Seconds.")
@click.option("--run", "command", help="A command, run when no beat has come for that long.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the bearer token that whoever sends must have.",
)
@options("json")
@click.pass_obj
def watchdog(  # noqa: PLR0917 (an option each)
    session: Session, listen: str, after: float, again: float, command: str | None, token_file: Path | None
) -> None:
    """Get a site's beats and pages, show pages, and call when no beat comes, until Ctrl-C.

    It runs on a host that is not the Antenna, as the receiver that `site:oncall` names as its watchdog: a
    site that is gone tells nobody so. The command gets ANTENNA_SILENT_SECONDS; one that fails is run again.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    host, _, port = listen.rpartition(":")
    token = token_file.read_text().strip() if token_file else ""
    told = _Told(Watch(after, again, beat=time.monotonic()), token, as_json=session.json)
    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), _handler(told))
    except (OSError, ValueError) as error:
        raise Failure(
            f"cannot listen at {listen}: {error}", "name an address of this host: --listen"
        ) from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = "http://{}:{}/".format(*server.server_address[:2])
    told.say("listening", f"listening at {where}; without a beat for {after:.0f} s it calls", url=where)
    try:
        while True:
            time.sleep(min(1.0, after / 4))
            told.look(command)
    except KeyboardInterrupt:
        server.shutdown()


class _Told:
    """What has come, behind one lock, and the lines about it."""

    def __init__(self, watch: Watch, token: str, *, as_json: bool) -> None:
        self._watch = watch
        self._token = token
        self._json = as_json
        self._lock = threading.Lock()

    def lets_in(self, authorization: str) -> bool:
        wanted = f"Bearer {self._token}"
        return not self._token or hmac.compare_digest(authorization.encode(), wanted.encode())

    def take(self, notification: dict[str, Any]) -> None:
        if not is_beat(notification):
            for line in lines(notification):
                self.say("page", line)
            return
        now = time.monotonic()
        with self._lock:
            before, self._watch = self._watch, self._watch.with_beat(now)
        if not before.beats:
            self.say("beat", "the first beat has come")
        if before.called is not None:
            self.say("back", f"beats come again, after {before.silent(now):.0f} s")

    def look(self, command: str | None) -> None:
        now = time.monotonic()
        with self._lock:
            if not self._watch.is_due(now):
                return
            watch = self._watch
            self._watch = watch.with_call(now)
        silent = watch.silent(now)
        self.say("silent", f"no beat for {silent:.0f} s: the site may tell nobody of anything")
        if command and not self._call(command, silent):
            with self._lock:
                if self._watch.called == now:
                    self._watch = self._watch.with_call(now - watch.again + RETRY_SECONDS)

    def _call(self, command: str, silent: float) -> bool:
        environment = os.environ | {"ANTENNA_SILENT_SECONDS": f"{silent:.0f}"}
        try:
            done = subprocess.run(
                shlex.split(command),
                env=environment,
                timeout=CALL_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.say("failed", f"the command failed: {error}")
            return False
        if done.returncode:
            self.say("failed", f"the command failed: it ended with {done.returncode}")
        return done.returncode == 0

    def say(self, event: str, text: str, **more: str) -> None:
        line = json.dumps({"event": event, "text": text, **more}) if self._json else text
        print(line if self._json else f"{datetime.now():%H:%M:%S} {line}", file=sys.stdout, flush=True)


def _handler(told: _Told) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            self._answer(self._take())

        def do_GET(self) -> None:
            self._answer(405)

        def _take(self) -> int:
            if not told.lets_in(self.headers.get("Authorization", "")):
                return 401
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > LARGEST:
                return 413
            try:
                notification = json.loads(self.rfile.read(int(length)))
                told.take(notification)
            except (ValueError, AttributeError, TypeError):
                return 400
            return 200

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pages are the lines."""

    return Handler
