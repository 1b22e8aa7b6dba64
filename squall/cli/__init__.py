"""The command line: `squall demo`, `train`, `predict`, `info`, `doctor`.

Exit codes: 0 done, 1 failure, 2 wrong usage or a mistake in a training file, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from squall.base.errors import SquallError
from squall.cli import demo, doctor, info, predict, train
from squall.cli.arguments import parser
from squall.cli.config import ConfigError
from squall.cli.console import Console

_COMMANDS = {
    "demo": demo.run,
    "train": train.run,
    "predict": predict.run,
    "info": info.run,
    "doctor": doctor.run,
}
FAILURE, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows the program's name; the process's own by default.

    Returns:
        The exit code. Wrong usage leaves by SystemExit with code 2, as argparse does.
    """
    options = parser().parse_args(arguments)
    console = Console(quiet=getattr(options, "json", False))
    try:
        return _COMMANDS[options.command](options, console)
    except KeyboardInterrupt:
        console.error("stopped")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads any more: no second error at exit
        return FAILURE
    except ConfigError as error:
        console.error(str(error))
        return USAGE
    except (SquallError, OSError, ImportError, ValueError, RuntimeError) as error:
        if os.environ.get("SQUALL_DEBUG", "0") not in ("", "0"):
            raise
        console.error(" ".join(str(error).split()))
        return FAILURE
