"""`cosmos-sdk COMMAND key=value ...`: knows only the registry, so a plugin adds a command with no change here."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence

from cosmos_sdk import __version__
from cosmos_sdk.errors import CosmosError
from cosmos_sdk.registry import registry

HELP = ("-h", "--help", "help")
USAGE = """\
Learned simulators of the physical world that policies can act in.

usage: cosmos-sdk COMMAND [key=value ...]
       cosmos-sdk COMMAND --help
       cosmos-sdk --version

commands:
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `cosmos-sdk`; those of this process when absent.

    Returns:
        The exit status: 0, what the command returned, 2 for an error that the SDK explains, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return dispatch(words)
    except CosmosError as error:
        sys.stderr.write(f"cosmos-sdk: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def dispatch(words: list[str]) -> int:
    """Answers help and version itself; anything else is the command's own business."""
    if not words or words[0] in HELP:
        sys.stdout.write(usage())
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"cosmos-sdk {__version__}\n")
        return 0
    run = registry().load("command", words[0])
    if any(word in HELP[:2] for word in words[1:]):
        sys.stdout.write(f"{inspect.getdoc(run)}\n")
        if (details := getattr(run, "details", None)) is not None:
            sys.stdout.write(details([word for word in words[1:] if word not in HELP]))
        return 0
    return run(words[1:])


def usage() -> str:
    """The help text; summaries come from the registrations, so that nothing heavy is imported."""
    commands = [entry for entry in registry().entries() if entry.kind == "command"]
    width = max(len(entry.name) for entry in commands)
    return USAGE + "".join(f"  {entry.name:{width}}  {entry.summary}\n" for entry in commands)
