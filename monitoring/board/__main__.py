"""Serve the board: ``python -m monitoring.board``."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from pathlib import Path

import httpx
import uvicorn

from monitoring import scrape
from monitoring.board.app import Service, app
from monitoring.board.people import Judge
from monitoring.board.sessions import Sessions
from monitoring.board.store import Store
from monitoring.rules.alert import RUNBOOKS

_CONNECTIONS = 64


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal."""
    asyncio.run(_serve(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.board", description=__doc__)
    parser.add_argument("--stack", default="", help="the site's name, for the title")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--store", default=f"http://127.0.0.1:{scrape.STORE_PORT}", help="VictoriaMetrics, as a URL"
    )
    parser.add_argument(
        "--alertmanager", action="append", default=[], help="as a URL; again for a second one"
    )
    parser.add_argument("--api-server", default="https://kubernetes.default.svc", help="as a URL")
    parser.add_argument("--api-ca", type=Path, default=Path(scrape.CLUSTER_CA), help="who vouches for it")
    parser.add_argument("--api-token-file", type=Path, default=Path(scrape.CLUSTER_TOKEN))
    parser.add_argument("--runbooks", type=Path, default=Path(__file__).parents[2] / RUNBOOKS)
    return parser


async def _serve(options: argparse.Namespace) -> None:
    # Proxies of the environment are for other hosts; all of these are the site's own.
    trusted = (
        ssl.create_default_context(cafile=options.api_ca)
        if options.api_server.startswith("https:")
        else False
    )
    async with (
        httpx.AsyncClient(trust_env=False) as figures,
        httpx.AsyncClient(trust_env=False, verify=trusted) as cluster,
    ):
        service = Service(
            options.stack,
            Store(figures, options.store, options.alertmanager),
            Sessions(Judge(cluster, options.api_server, options.api_token_file)),
            {path.stem: path for path in options.runbooks.glob("*.md")},
        )
        config = uvicorn.Config(
            app(service),
            host=options.host,
            port=options.port,
            # Addresses hold one-time codes.
            access_log=False,
            server_header=False,
            log_level="warning",
            limit_concurrency=_CONNECTIONS,
            ws="none",
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    main()
