"""Every exception of the SDK. A class takes the facts and writes the message: given, expected, choices, remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest choice, or an empty string when nothing is near."""
    near = get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


class CosmosError(Exception):
    """The root: `except CosmosError` catches everything that the SDK raises on purpose."""


class UnknownNameError(CosmosError):
    """A name that no plugin registered, with the names that exist."""

    def __init__(self, kind: str, name: str, choices: Iterable[str], hint: str = "") -> None:
        known = sorted(choices)
        listing = ", ".join(known) if known else "none"
        text = f"Unknown {kind} {name!r}.{did_you_mean(name, known)} Registered {kind} names: {listing}."
        super().__init__(f"{text} {hint}".rstrip())
        self.kind, self.name, self.choices = kind, name, known


class ConfigError(CosmosError):
    """All problems of a configuration in one report, found before anything heavy is built."""

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"The configuration has {len(problems)} {noun}:\n{lines}")
        self.problems = list(problems)


class PluginError(CosmosError):
    """A plugin that cannot be used: it fails on import, takes a used name, or breaks the contract."""

    def __init__(self, plugin: str, reason: str, remedy: str) -> None:
        super().__init__(f"Plugin {plugin!r}: {reason} {remedy}")
        self.plugin = plugin


class MissingPackageError(CosmosError, ImportError):
    """An optional package is needed now; the message holds the command that installs it."""

    def __init__(self, package: str, needed_for: str, command: str) -> None:
        super().__init__(f"{needed_for} needs {package!r}, which is not installed. Run: {command}")
        self.package = package


class ShapeError(CosmosError, ValueError):
    """A tensor of another shape or dtype than the contract states."""

    def __init__(self, name: str, got: object, expected: object, remedy: str = "") -> None:
        super().__init__(f"{name} is {got}; expected {expected}. {remedy}".rstrip())
        self.name = name


class SignalError(CosmosError, ValueError):
    """A control signal that the world does not take, or that is not finite."""


class ActionError(SignalError):
    """An action outside what its ActionSpec declares."""


class VocabularyError(CosmosError, ValueError):
    """A token that the tokenizer does not have."""

    def __init__(self, token: int, vocabulary_size: int) -> None:
        legal = f"whole numbers from 0 to {vocabulary_size - 1}"
        super().__init__(
            f"The token {token} is not in the vocabulary of {vocabulary_size}; expected {legal}. Did another tokenizer "
            "make these latents?"
        )
        self.token = token


class NotFiniteError(CosmosError, ValueError):
    """NaN or infinity where only a finite number means something."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(f"{name} hold NaN or infinity; expected finite numbers. {remedy}")
        self.name = name


class SamplingError(CosmosError, ValueError):
    """A run-time option that the backend does not have."""


class CheckpointError(CosmosError):
    """A checkpoint folder that is missing, damaged, foreign or of another version."""


class WriteError(CosmosError):
    """The system refused to write a file; what stood in its place is unchanged."""

    def __init__(self, path: object, error: Exception) -> None:
        super().__init__(f"Could not write {path}: {error}. What stood there before is unchanged.")


class DatasetError(CosmosError):
    """A dataset that cannot be read, with the episode at fault."""


class DataNotRestorableError(DatasetError):
    """A recording without simulator states, asked to be restored."""


class TrainingError(CosmosError):
    """A run that cannot go on: a loss that is not finite, or a folder that holds another run."""
