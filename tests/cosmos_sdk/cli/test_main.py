from __future__ import annotations

import pytest

from cosmos_sdk.cli import main as command_line
from cosmos_sdk.cli.main import main
from cosmos_sdk.cli.plugins import table
from cosmos_sdk.errors import DatasetError
from cosmos_sdk.plugins import Source
from cosmos_sdk.registry import Entry, Registry, registry
from cosmos_sdk.summaries import summary

Output = pytest.CaptureFixture[str]


def echo(arguments: list[str]) -> int:
    """Counts its arguments."""
    return len(arguments)


def fails(arguments: list[str]) -> int:
    """Fails as the SDK does, or as a user does."""
    if arguments:
        raise KeyboardInterrupt
    raise DatasetError("Episode 3 has a gap.")


@pytest.fixture
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("mine", "mine", "1.0")
    commands = [
        Entry("command", f.__name__, f"{__name__}:{f.__name__}", source, "Says.")
        for f in (echo, fails)
    ]
    table = Registry(commands)
    monkeypatch.setattr(command_line, "registry", lambda: table)
    monkeypatch.setattr(
        Registry, "load", lambda self, kind, name: globals()[self.entry(kind, name).name]
    )


def test_help_lists_every_command_with_its_summary(capsys: Output) -> None:
    assert main(["--help"]) == 0
    assert main([]) == 0

    text = capsys.readouterr().out
    for entry in registry().entries():
        if entry.kind == "command":
            assert f"{entry.name} " in text
            assert entry.summary
            assert entry.summary in text


def test_the_version_is_printed(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cosmos-sdk ")


@pytest.mark.usefixtures("_commands")
def test_a_command_gets_its_arguments_and_gives_its_status(capsys: Output) -> None:
    assert main(["echo", "a=1", "b=2"]) == 2
    assert main(["echo", "--help"]) == 0
    assert capsys.readouterr().out == "Counts its arguments.\n"


@pytest.mark.usefixtures("_commands")
def test_an_error_of_the_sdk_is_one_message_and_no_traceback(capsys: Output) -> None:
    assert main(["fails"]) == 2
    assert capsys.readouterr().err == "cosmos-sdk: Episode 3 has a gap.\n"
    assert main(["fails", "now"]) == 130


def test_an_unknown_command_says_which_was_meant(capsys: Output) -> None:
    assert main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_plugins_lists_every_component_its_plugin_and_version(capsys: Output) -> None:
    assert main(["plugins"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "name", "plugin", "version", "description"]
    for entry, line in zip(registry().entries(), lines[1:], strict=True):
        *facts, described = line.split(maxsplit=4)
        assert facts == [entry.kind, entry.name, entry.plugin, entry.version]
        assert described == summary(entry)
    assert main(["plugins", "targets=true"]) == 0
    targets = [line.split()[4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert targets == [entry.target for entry in registry().entries()]


def test_a_component_that_nobody_described_is_described_by_its_docstring() -> None:
    source = Source("mine", "mine", "1.0")

    def described(target: str, summary_: str = "") -> str:
        return summary(Entry("planner", "x", target, source, summary_))

    assert described("cosmos_sdk.registry:Entry").startswith("One registered component:")
    assert described("cosmos_sdk.registry:Missing").startswith("One table of every component")
    assert described("cosmos_sdk.registry:Entry", "mine") == "mine"
    assert described("absent.module:Entry") == described("no_module:Entry") == ""


def test_the_help_of_a_command_lists_what_is_installed(capsys: Output) -> None:
    assert main(["collect", "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("random", *registry().names("recorder")):
        assert f"  {name} " in text
    assert main(["evaluate", "task=pusht-goals", "--help"]) == 0
    assert "  replan_every       a whole number (0)\n" in capsys.readouterr().out
    assert main(["evaluate", "task=pusht-goal", "--help"]) == 2
    assert "Did you mean 'pusht-goals'" in capsys.readouterr().err


def test_plugins_of_one_kind_are_listed_alone(capsys: Output) -> None:
    assert main(["plugins", "kind=head"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} == {"head"}
    assert main(["plugins", "kind=haed"]) == 2
    assert "Did you mean 'head'?" in capsys.readouterr().err


def test_an_unknown_key_of_a_command_says_which_was_meant(capsys: Output) -> None:
    assert main(["plugins", "kin=head"]) == 2
    assert "kin: unknown key. Did you mean 'kind'?" in capsys.readouterr().err


def test_a_table_is_aligned() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d\n"
