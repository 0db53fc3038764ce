"""Medusa (Cai et al. 2024, arXiv:2401.10774): heads draft the tokens after the next, one pass verifies them all.

Verification is that of speculative sampling (Leviathan et al. 2023, arXiv:2211.17192, section 2.3), which leaves the
distribution as it is; greedy decoding is its case of temperature 0, and gives the tokens it gives without heads. As in
Cosmos there is one chain of drafts, no tree.

Noise belongs to a token, not to a pass: token n has one number for its draft, one for the acceptance and one to be
drawn with. A draft that is thrown away was never compared with its numbers, so they are still fresh.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.errors import CheckpointError
from cosmos_sdk.files import replacing
from cosmos_sdk.rng import Rng
from cosmos_sdk_autoregressive.decoding import Canvas, Made, numbers
from cosmos_sdk_autoregressive.sampling import (
    AutoregressiveSampling,
    check_finite,
    choose,
    distribution,
    draw,
    entropy,
)
from cosmos_sdk_autoregressive.transformer import Transformer

_FORMAT = "cosmos-sdk/medusa/1"


class MedusaHeads(nn.Module):
    """Head k turns the hidden vector that predicts token n into one that predicts token n + k (section 2.1.1).

    A residual layer in front of the transformer's own output table; heads start as the transformer's own prediction.
    Where the transformer sees what stood in a token's place before, so do they, each in its own place.
    """

    def __init__(self, width: int, num_heads: int, echoes: bool = False) -> None:
        super().__init__()
        self.width, self.num_heads = width, num_heads
        self.layers = nn.Linear(width, num_heads * width, bias=False)
        self.echo = nn.Linear(width, width, bias=False) if echoes else None
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, hidden: Tensor, count: int, echoes: Tensor | None = None) -> Tensor:
        """Vectors (..., count, D) of the first `count` heads for hidden vectors (..., D).

        `echoes` (..., count, D) is what stood where each head's token will stand.
        """
        weight = self.layers.weight[: count * self.width].to(hidden.dtype)
        change = F.linear(hidden, weight).unflatten(-1, (count, self.width))
        if self.echo is not None and echoes is not None:
            change = change + F.linear(echoes.to(hidden), self.echo.weight.to(hidden.dtype))
        return hidden[..., None, :] + F.silu(change)

    def loss(
        self, trunk: Transformer, hidden: Tensor, tokens: Tensor, echoes: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy (B, F), mean over heads and tokens: hidden (B, F, P, D), tokens (B, F, N), echoes (B, F, N, D).

        Nothing flows back into the transformer, so that heads learn its habits and do not change them.
        """
        hidden = hidden.detach()
        table = trunk.embed.weight if trunk.unembed is None else trunk.unembed.weight
        if echoes is not None:
            longer = F.pad(echoes.detach(), (0, 0, 0, 1 + self.num_heads))
            echoes = (
                longer[:, :, 1:].unfold(2, self.num_heads, 1).transpose(3, 4)
            )  # (B, F, P, K, D)
        drafts = self(hidden, self.num_heads, echoes)
        errors: list[Tensor] = []
        for k in range(1, self.num_heads + 1):
            ahead = tokens[:, :, k:]
            logits = F.linear(drafts[:, :, : ahead.shape[2], k - 1], table.detach())
            error = F.cross_entropy(logits.flatten(0, -2), ahead.flatten(), reduction="none")
            errors.append(error.view(ahead.shape).mean(2))
        return torch.stack(errors).mean(0)


def speculative(
    canvas: Canvas, heads: MedusaHeads, options: AutoregressiveSampling, rng: Rng
) -> Made:
    """A frame in as few passes as its drafts allow; the canvas needs room for `options.medusa` of them.

    Rows go their own pace: row b knows the tokens 1 .. known[b], and the last of them has not passed the transformer.
    """
    count, ahead = canvas.layout.num_tokens, options.medusa
    noise = numbers(options, rng, canvas.slot, count + ahead + 2, 3).expand(canvas.rows, -1, -1)
    row = torch.arange(canvas.rows, device=canvas.filled.device)
    step = torch.arange(ahead + 1, device=row.device)
    tokens = torch.zeros(canvas.rows, count + ahead + 2, dtype=torch.int64, device=row.device)
    known, passes = torch.ones_like(row), torch.ones_like(row)
    hidden = end = canvas.run(canvas.slot, 0)[:, 0]
    logits = check_finite(canvas.logits(hidden))
    tokens[:, 1] = choose(logits, options, noise[:, 1, 2])
    doubt = F.pad(entropy(logits)[:, None], (1, count + ahead))
    finished = torch.zeros_like(row, dtype=torch.bool)
    while not bool(finished.all()):
        place = known[:, None] + step  # (B, 1 + K): the token to read, then its drafts
        fresh = noise[row[:, None], place]
        echoes = None if canvas.echoes is None else canvas.echoes[row[:, None], place[:, 1:] - 1]
        guess = canvas.logits(heads(hidden, ahead, echoes))  # (B, K, V)
        drafts = choose(guess, options, fresh[:, 1:, 0])
        inputs = torch.cat((tokens[row, known][:, None], drafts), 1)
        read = canvas.run_at(canvas.embed(inputs), place)
        logits = check_finite(canvas.logits(read))  # (B, 1 + K, V): of the tokens after each
        own_noise = noise[row[:, None], place + 1, 2]
        kept, accepted = settled(logits, guess, drafts, options, fresh[:, 1:, 1], own_noise)
        accepted = torch.minimum(accepted, count - known)
        tokens = tokens.scatter(1, place + 1, kept)
        doubt = doubt.scatter(1, place + 1, entropy(logits))
        hidden = read[row, accepted]
        passes = passes + (~finished).long()
        ends = known + accepted >= count  # a finished row reads its last token again
        end = torch.where((ends & ~finished)[:, None], hidden, end)
        known, finished = torch.where(ends, count, known + accepted + 1), ends
    return Made(tokens[:, 1 : count + 1], end, doubt[:, 1 : count + 1], passes)


def settled(
    logits: Tensor,
    guess: Tensor,
    drafts: Tensor,
    options: AutoregressiveSampling,
    accept: Tensor,
    own: Tensor,
) -> tuple[Tensor, Tensor]:
    """The tokens (B, 1 + K) that follow, and how many drafts hold (B,): those, then one of the transformer's own.

    Args:
        logits: of the transformer, (B, 1 + K, V).
        guess: of the heads, (B, K, V).
        drafts: drawn from these, (B, K).
        options: how tokens are drawn.
        accept: a number for each draft, (B, K).
        own: a number for each token that may be drawn anew, (B, 1 + K).
    """
    if (
        options.temperature == 0
    ):  # the same, without the distributions that have all mass in one place
        likely = logits.argmax(-1)
        return likely, (drafts == likely[:, :-1]).long().cumprod(1).sum(1)
    true, drafted = distribution(logits, options), distribution(guess, options)
    accepted = verified(true, drafted, drafts, accept)
    row = torch.arange(len(drafts), device=drafts.device)
    new = own_draw(true, drafted, accepted, own[row, accepted])
    step = torch.arange(drafts.shape[1] + 1, device=drafts.device)
    return torch.where(step < accepted[:, None], F.pad(drafts, (0, 1)), new[:, None]), accepted


def verified(true: Tensor, drafted: Tensor, drafts: Tensor, uniform: Tensor) -> Tensor:
    """How many drafts of each row (B,) hold, before the first that does not.

    Draft x holds with probability min(1, p(x) / q(x)): true (B, 1 + K, V), drafted (B, K, V), drafts (B, K).
    """
    index = drafts[..., None]
    p, q = true[:, :-1].gather(-1, index)[..., 0], drafted.gather(-1, index)[..., 0]
    return (uniform.to(q) * q < p).long().cumprod(1).sum(1)


def own_draw(true: Tensor, drafted: Tensor, accepted: Tensor, uniform: Tensor) -> Tensor:
    """The token (B,) after the accepted ones: of what p has more than q where a draft failed, else of p itself."""
    row = torch.arange(len(accepted), device=accepted.device)
    p = true[row, accepted]
    q = F.pad(drafted, (0, 0, 0, 1))[row, accepted]  # nothing was drafted after the last draft
    rest = (p - q).clamp(min=0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, p)  # p = q up to rounding
    return draw(rest, uniform)


def fingerprint(trunk: Transformer) -> str:
    """What tells one trained transformer from another: a digest of its weights."""
    digest = hashlib.sha256(repr(trunk.shape).encode())
    for weight in trunk.state_dict().values():
        digest.update(weight.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_heads(heads: MedusaHeads, trunk: Transformer, path: str | Path) -> None:
    """Writes heads apart from the world, with the fingerprint of the transformer that they were trained on."""
    from safetensors.torch import save_file

    metadata = {"format": _FORMAT, "trunk": fingerprint(trunk)}
    weights = {name: w.detach().cpu().contiguous() for name, w in heads.state_dict().items()}
    with replacing(Path(path)) as draft_file:
        save_file(weights, draft_file, metadata)


def load_heads(path: str | Path, trunk: Transformer) -> MedusaHeads:
    """Reads heads for a transformer.

    Raises:
        CheckpointError: the file holds no heads, or heads of another transformer.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # pyright: ignore
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as Medusa heads: {error}.") from error
    own = fingerprint(trunk)
    if metadata.get("format") != _FORMAT or metadata.get("trunk") != own:
        got = f"format {metadata.get('format')!r}, trunk {str(metadata.get('trunk'))[:12]}"
        raise CheckpointError(
            f"{path} holds Medusa heads of another trunk ({got}); expected format {_FORMAT!r}, trunk {own[:12]}. "
            "Heads draft only for the transformer they were trained on: train them on this one."
        )
    total, width = weights["layers.weight"].shape
    heads = MedusaHeads(width, total // width, "echo.weight" in weights)
    heads.load_state_dict(weights)
    return heads.to(trunk.embed.weight)
