"""Files of agents' trajectories: how they are told from other conversations, and their first recipe."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.first_contact.look import READ, Look
from winnow.pipeline.first_contact.recipe_text import comment, head, key_lines, next_steps, scalar
from winnow.pipeline.first_contact.sizes import clusters
from winnow.pipeline.names import prompt_id
from winnow.pipeline.publish.formats.adp_marks import final_reward, marks
from winnow.pipeline.publish.formats.adp_schema import ApiAction, CodeAction, Trajectory
from winnow.pipeline.sources.hf_dataset import HFDataset
from winnow.pipeline.sources.rows import Drop
from winnow.pipeline.sources.trajectories import taken_apart, trajectory_of

_MOST = 0.5  # share of the rows from which a file is one of trajectories
_LEAST = 4  # trajectories of a prompt that are taken, at least


@dataclass(frozen=True)
class Agents:
    """What the trajectories of a sample say: how many there are, their final rewards, how many have marks
    of their own, and the most of one prompt among all rows that were read."""

    rows: int
    rewards: Sequence[float]
    marked: int
    per_prompt: int


def agents(look: Look) -> Agents | None:
    """None where most rows are no trajectories, or none calls anything: a plain conversation is a prompt
    with an answer."""
    found = [each for row in look.rows if (each := _trajectory(row)) is not None]
    calls = any(isinstance(item, ApiAction | CodeAction) for each in found for item in each.content)
    if not calls or len(found) < _MOST * len(look.rows):
        return None
    rewards = [final_reward(each) for each in found]
    return Agents(
        rows=len(found),
        rewards=[reward for reward in rewards if reward is not None],
        marked=sum(bool(marks(each)) for each in found),
        per_prompt=_per_prompt(look, found),
    )


def render(look: Look, found: Agents, name: str, recipe: str) -> str:
    """The recipe's text. `name` names its dataset and source, `recipe` the file it is written to."""
    lost = len(look.rows) - found.rows
    other = f"; {lost:,} are none, and the ledger will say why" if lost else ""
    n = max(_LEAST, found.per_prompt)
    lines = [
        *head(look, name),
        "",
        "sources:",
        *comment(f"{found.rows:,} of {look.basis} are trajectories of agents that call tools{other}.", 2),
        "  - type: trajectories",
        *key_lines(4, "path", look.config.path,
                   "A path is relative to the folder that winnow is started in."),
        *key_lines(4, "name", name),
    ]  # fmt: skip
    for key in ("config", "split"):
        value = getattr(look.config, key)
        if value is not None and (key, value) != ("split", "train"):
            lines += key_lines(4, key, value)
    lines += [
        *key_lines(4, "verifier", "none", "Nobody judges; `answer` would name the key of a reference."),
        *comment("licence: ... (not guessed; the published card needs it)", 4),
        "",
        *comment("The trajectories are taken as they are; nothing is sampled."),
        "engine: {type: source}",
        "",
        "sampling:",
        *comment("Trajectories of one prompt that are taken; of the rows that were read, at most "
                 f"{found.per_prompt:,} have the same.", 2),
        f"  n: {n}",
        "",
        f"clusters: {{k: {clusters(look)}}} # the square root of half the rows",
        "",
        "sets:",
        "  trajectories:",
        *_rewards(found),
        *comment(f"Marks of their own (loss_mask, origin, branch_point): {found.marked:,} of "
                 f"{found.rows:,}. Where there are none, every action counts.", 4),
        "    train_on: marked",
        "",
        "formats:",
        *comment("The Agent Data Protocol's own objects, and messages with tools.", 2),
        "  adp: {}",
        "  openai_chat: {}",
        *next_steps(recipe),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _rewards(found: Agents) -> list[str]:
    if not found.rewards:
        return comment("No final reward is told; `min_reward` would keep none.", 4)
    best = max(found.rewards)
    reach = sum(reward >= best for reward in found.rewards)
    return [
        *comment(
            f"{len(found.rewards):,} of {found.rows:,} tell a final reward, from "
            f"{min(found.rewards):g} to {best:g}; {reach:,} have the highest. Those below this are out, "
            "and those that tell none.", 4,
        ),
        f"    min_reward: {scalar(best)}",
    ]  # fmt: skip


def _per_prompt(look: Look, sample: Sequence[Trajectory]) -> int:
    """The most trajectories of one prompt: a sample of many prompts hardly holds one twice."""
    every: Iterable[Trajectory] = sample
    if len(look.rows) < look.n_rows - look.unreadable:
        rows = HFDataset(look.config, whole=True).rows(READ)
        every = (each for row in rows if (each := _trajectory(row.values)) is not None)
    prompts = Counter(name for each in every if (name := _prompt(each)) is not None)
    return max(prompts.values(), default=0)


def _trajectory(row: Mapping[str, Any]) -> Trajectory | None:
    try:
        return trajectory_of(row)
    except (ValueError, RecursionError):
        return None


def _prompt(trajectory: Trajectory) -> str | None:
    try:
        return prompt_id(taken_apart(trajectory)[0])
    except Drop:
        return None
