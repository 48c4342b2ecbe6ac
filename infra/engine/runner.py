"""The program's process: connects the SDK to the engine and runs the program. `program` starts it.

It needs the SDK alone, so that a program may live in a virtual environment without this project.
"""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import pulumi
import pulumi.runtime


def main(path: str, settings: dict[str, object]) -> int:
    """Run the program at a path; returns the exit status. The engine is told of what goes wrong."""
    pulumi.runtime.set_all_config(
        pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()
    )
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))  # type: ignore[arg-type]
    # The SDK sends debug messages of each resource and waits for each to be taken; nobody hears them.
    pulumi.log.debug = lambda *_, **__: None
    sys.argv = [path]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Every registration blocks a thread until its step is done.
    executor = ThreadPoolExecutor(max_workers=int(str(settings["parallel"])) * 4)
    loop.set_default_executor(executor)
    # A program that fails leaves futures behind that nobody waits for; that is no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    def execute() -> None:
        runpy.run_path(path, run_name="__main__")

    async def run() -> None:
        await pulumi.runtime.run_in_stack(execute)

    try:
        loop.run_until_complete(run())
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception:
        pulumi.log.error(f"the program failed:\n{traceback.format_exc()}")
        return 1
    finally:
        executor.shutdown()
        loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
