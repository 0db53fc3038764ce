"""The command answers mistakes before it loads a world."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk_evaluation.evaluate import chosen, lend_folder, split


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {},
            "metrics: drift, open-loop, reward, surprise, tokenizer, uncertainty; tasks: .*pusht-goals",
        ),
        ({"metric": "reward", "task": "pusht-goals"}, "name one metric or one task"),
        ({"metric": "open-loop", "windws": 3}, "Did you mean 'windows'"),
        ({"task": "pusht-goals", "tasks": "hard"}, "tasks: 'hard'"),
        ({"task": "pusht-goals", "processes": 0}, "processes is 0; expected 1 or more"),
        ({"metric": "drift", "windows": 0}, "windows is 0; expected 1 or more"),
        ({"metric": "open-loop", "horizons": [0, 8]}, r"horizons is \(0, 8\); expected 1"),
        ({"metric": "reward", "episodes": 0}, "episodes is 0; expected 1 or more"),
        ({"metric": "surprise", "horizon": 1}, "horizon is 1; expected 2 or more"),
        ({"metric": "uncertainty", "windows": 0}, "windows is 0; expected 1 or more"),
        ({"metric": "tokenizer", "every": 0}, "every is 0; expected 1 or more"),
    ],
)
def test_a_mistake_is_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        chosen(*split(given))


def test_an_unknown_metric_lists_the_metrics() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'open-loop'"):
        chosen(*split({"metric": "open-lop"}))


def test_the_measurement_takes_its_own_fields_and_the_command_the_rest() -> None:
    common, own = split({"metric": "open-loop", "windows": 7, "using": {"precision": "bfloat16"}})
    name, _, config = chosen(common, own)
    assert name == "open-loop"
    assert config.windows == 7
    assert common.using == {"precision": "bfloat16"}


def lent(**given: object) -> Path | None:
    common, own = split({"task": "pusht-goals", **given})
    name, _, config = chosen(common, own)
    folder = lend_folder(name, common, config)
    assert folder is None or config.folder == str(folder)
    return folder


def test_only_the_same_command_finds_the_episodes_of_one_that_was_interrupted() -> None:
    assert lent() == lent() == lent(processes=2)
    assert len({lent(), lent(seed=1), lent(world="other"), lent(out="elsewhere")}) == 4
    assert lent(folder="kept") is None


def test_a_metric_that_keeps_no_episodes_gets_no_folder() -> None:
    common, own = split({"metric": "open-loop"})
    name, _, config = chosen(common, own)
    assert lend_folder(name, common, config) is None
