"""What the README and the pages show works: Python is executed, commands are understood."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from cosmos_sdk.build import check
from cosmos_sdk.cli.main import main
from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.config import override, typed
from cosmos_sdk.data.collect import CollectConfig, keys
from cosmos_sdk.data.scenes import open_recorder
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import open_simulator
from cosmos_sdk.training import recipe
from cosmos_sdk.training.defaults import default_recipe
from cosmos_sdk_evaluation import evaluate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BUNDLED = {
    name: ROOT / f"plugins/cosmos_sdk_{name.partition('-')[2]}/worlds/{name}"
    for name in ("pusht-diffusion", "pusht-autoregressive")
}
NEEDS = {**{name: name for name in BUNDLED}, "CosmosSDK/PushT-v0": "pusht-diffusion"}
FAST = {
    "collect": ["episodes=3", "steps=12", "processes=1"],
    "train": [
        "num_threads=1",
        "tensorboard=false",
        "world.backend.width=48",
        "world.backend.num_layers=2",
        "stages.tokenizer.steps=2",
        "stages.tokenizer.batch_size=4",
        "stages.one-step.steps=2",
        "stages.one-step.batch_size=2",
        "stages.dream.steps=2",
        "stages.dream.batch_size=2",
        "validation.num_windows=2",
    ],
    "evaluate": ["windows=3", "horizons=[1,4]"],
}  # the quick start is really executed, with budgets that only show that it runs


def blocks(page: Path, language: str) -> list[str]:
    return [
        code for tag, code in FENCE.findall(page.read_text(encoding="utf-8")) if tag == language
    ]


def commands(page: Path) -> list[list[str]]:
    """The commands of a page's bash blocks, as words; a backslash joins lines, and examples are those of this tree."""
    text = (
        "\n".join(blocks(page, "bash"))
        .replace("\\\n", " ")
        .replace("=examples/", f"={ROOT}/examples/")
    )
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def names(code: str, context: type[ast.expr_context]) -> set[str]:
    nodes = ast.walk(ast.parse(code))
    return {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }


def absent() -> list[str]:
    """What a block may name and needs weights that are not there yet."""
    return [word for word, name in NEEDS.items() if not (BUNDLED[name] / "config.yaml").is_file()]


def needs_weights(codes: list[str]) -> list[bool]:
    """Which blocks name a bundled world that has no weights, or use what such a block made."""
    made: set[str] = set()
    needing: list[bool] = []
    for code in codes:
        needing.append(any(n in code for n in absent()) or bool(names(code, ast.Load) & made))
        made = made | names(code, ast.Store) if needing[-1] else made - names(code, ast.Store)
    return needing


def pythons() -> Iterator[Any]:
    """One case a page; while weights are absent, the blocks that need them are a case of their own, skipped."""
    for page in PAGES:
        codes = blocks(page, "python")
        needing = needs_weights(codes)
        name = str(page.relative_to(ROOT))
        if any(needing):
            reason = f"no weights yet for {', '.join(absent())}"
            yield pytest.param([], marks=pytest.mark.skip(reason=reason), id=f"{name}, bundled")
            codes = [code for code, needs in zip(codes, needing, strict=True) if not needs]
        if codes:
            yield pytest.param(codes, id=name)


@pytest.fixture(scope="session")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the first page were given."""
    folder = tmp_path_factory.mktemp("quick_start")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands(ROOT / "docs/index.md"):
            if words[0] == "cosmos-sdk":
                assert main([*words[1:], *FAST[words[1]]]) == 0
    return folder


@pytest.mark.parametrize("codes", list(pythons()))
def test_the_python_of_a_page_runs(
    codes: list[str], quick_start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick_start)
    page: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(codes):
        exec(compile(code, f"<block {number}>", "exec", dont_inherit=True), page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_understood(
    page: Path, quick_start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick_start)
    for words in commands(page):
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
        elif words[0] == "cosmos-sdk":
            understand(words[1], words[2:])
        else:
            pytest.fail(f"no rule for {words[0]!r}")


def understand(name: str, arguments: list[str]) -> None:
    """Parses the arguments of a command and runs nothing; raises what the command would."""
    run = registry().load("command", name)
    if name == "train":
        understand_train(arguments)
    elif name == "collect":
        given = override({}, arguments)
        own = {key: given.pop(key) for key in keys() if key in given}
        config = typed(CollectConfig, {**own, "options": given})
        open_simulator(config.env)
        open_recorder(config.policy, config.options, config.env, keys())
    elif name == "evaluate":
        common, own = evaluate.split(override({}, arguments))
        _, _, config = evaluate.chosen(common, own)
        if planner := getattr(config, "planner", None):
            registry().load("planner", planner)(**config.planner_options)
    else:
        parse(inspect.getmodule(run).Arguments, arguments)  # pyright: ignore[reportOptionalMemberAccess]


def understand_train(arguments: list[str]) -> None:
    """The recipe that the command would follow; the recording of the first page stands for the reader's folder."""
    given = dict(word.split("=", 1) for word in arguments)
    if (bundled := BUNDLED.get(given.get("config", ""))) and not (
        bundled / "recipe.yaml"
    ).is_file():
        pytest.skip(f"the bundled world has no recipe yet: {bundled.name}/recipe.yaml is absent")
    values = recipe.read(given["config"]) if "config" in given else default_recipe("outputs/disc")
    overrides = [
        word for word in arguments if word.partition("=")[0] not in ("config", "out", "data")
    ]
    check(recipe.overridden(values, overrides).world)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=lambda p: p.stem)
def test_a_recipe_on_a_page_can_be_built(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        check(recipe.load(path).world)


def test_the_recipes_of_the_examples_can_be_built() -> None:
    for path in (ROOT / "examples/configs").glob("*.yaml"):
        check(recipe.load(path).world)


def test_the_ids_of_the_pages_are_registered() -> None:
    found = {
        name
        for page in PAGES
        for name in re.findall(r"CosmosSDK/\w+-v\d", page.read_text(encoding="utf-8"))
    }
    for module in ("cosmos_sdk_envs", "cosmos_sdk_scenes.registration"):
        __import__(module)

    assert found <= {*gymnasium.registry, *registry().names("simulator")}
