"""Windows are aligned with their actions, and the errors are those of the field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk_evaluation.episodes import Episode, held_out
from cosmos_sdk_evaluation.open_loop import OpenLoopConfig, imagine, open_loop, windows
from toys.blocks import blocks_world

pytest.importorskip("gym_pusht", reason="the Push-T simulator is an extra: make pusht")


def test_the_action_of_a_window_leads_to_the_frame_beside_it() -> None:
    config = OpenLoopConfig(windows=2, horizons=(1, 12))
    data = windows(config, (64, 64), 4)
    assert data.frames.shape == (2, 16, 1, 3, 64, 64)
    simulator = registry().load("simulator", config.env)()
    episode = next(held_out(config.env, config.policy, 1, 24, (64, 64)))
    first = next(
        k
        for k in range(len(episode))
        if torch.equal(episode.observations[k], data.observations[0, 0])
    )
    simulator.set_state(episode.states[first])
    for k in range(1, 16):
        simulator.step(data.actions[0, k].numpy())
        assert torch.allclose(
            torch.from_numpy(simulator.observe()), data.observations[0, k], atol=1e-3
        )
        frame = torch.from_numpy(simulator.render_clean(64, 64)).permute(2, 0, 1)
        assert torch.equal(frame, data.frames[0, k, 0])


def test_a_horizon_longer_than_every_episode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(env: str, policy: str, *rest: object) -> Iterator[Episode]:
        return held_out(env, policy, 2, 5, (16, 16))

    monkeypatch.setattr("cosmos_sdk_evaluation.open_loop.held_out", short)
    config = OpenLoopConfig("CosmosSDK/DiscPusher-v0", "disc-scripted", horizons=(4, 9))
    with pytest.raises(ConfigError, match="no held-out episode of 'disc-scripted' lasts 13"):
        windows(config, (16, 16), 4)


def test_held_out_episodes_are_a_function_of_the_seed() -> None:
    one, same = (
        next(held_out("gym_pusht/PushT-v0", "random", 1, 3, (64, 64), 5)) for _ in range(2)
    )
    other = next(held_out("gym_pusht/PushT-v0", "random", 1, 3, (64, 64), 6))
    assert torch.equal(one.actions, same.actions)
    assert torch.equal(one.frames, same.frames)
    assert not torch.equal(one.actions, other.actions)


def test_a_world_of_blocks_is_read_at_each_of_its_frames() -> None:
    """Twelve frames of blocks of five: the last block is cut, and a reading inside a block is that of its vector."""
    world = blocks_world()
    config = OpenLoopConfig(windows=2, horizons=(1, 12))
    data = windows(config, (32, 32), world.backend.context)
    actions = data.actions[:, data.context :]
    imagined = imagine(world, data, actions, config)
    assert imagined.frames.shape == (2, 12, 1, 3, 32, 32)
    assert imagined.observations is not None
    history = {"action": data.actions[:, : data.context]}
    state = world.reset(data.frames[:, : data.context], {}, torch.arange(2), history)
    state, _ = world.step(state, {"action": actions[:, :5]})
    for k in range(5):
        only = replace(state, features=state.features[:, k : k + 1].expand(-1, 5, -1))
        assert torch.allclose(imagined.observations[:, k], world.observe(only)["state"], atol=1e-4)
    assert len(open_loop(world, config).results) > 10
