"""Which actions of a trajectory to train on (EEF, arXiv 2504.13145): mask, origin and branch point.

A conversation says it message by message, a trajectory item by item, in its `details`:

loss_mask     of each item, whether to train on it
origin        of each item, who acted: expert or student; null for observations
branch_point  the first item that the student made instead of the expert

A value of another type under one of these names is something else, and is left alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from winnow.pipeline.publish.formats.adp_messages import messages_of_items
from winnow.pipeline.publish.formats.adp_schema import Trajectory, build

TrainOn = Literal["marked", "all_actions", "student"]

MASK, ORIGIN, BRANCH = "loss_mask", "origin", "branch_point"
STUDENT = "student"


def actions(trajectory: Trajectory) -> list[bool]:
    """Of each item: whether it is an action."""
    return [item.class_.endswith("_action") for item in trajectory.content]


def marks(trajectory: Trajectory) -> dict[str, Any]:
    """What `details` says under the three names, item by item; only what it says.

    Raises ValueError where that does not belong to these items.
    """
    found = {name: value for name in (MASK, ORIGIN, BRANCH)
             if is_mark(name, value := trajectory.details.get(name))}  # fmt: skip
    _check(found, len(trajectory.content), "items")
    return found


def trained(trajectory: Trajectory, train_on: TrainOn = "marked") -> list[bool]:
    """Of each item: whether to train on it; never on an observation.

    marked: what `loss_mask` says; without one, the student's actions where `origin` names any; else
    those from the branch point on; else all. student: the student's actions, or those from the branch
    point on; none where neither is told. Raises as `marks`.
    """
    acts = actions(trajectory)
    if train_on == "all_actions":
        return acts
    told = marks(trajectory)
    origin, branch = told.get(ORIGIN), told.get(BRANCH)
    if train_on == "marked" and MASK in told:
        wanted = [bool(yes) for yes in told[MASK]]
    elif origin is not None and (train_on == "student" or STUDENT in origin):
        wanted = [who == STUDENT for who in origin]
    elif branch is not None:
        wanted = [at >= branch for at in range(len(acts))]
    else:
        wanted = [train_on == "marked"] * len(acts)
    return [act and yes for act, yes in zip(acts, wanted, strict=True)]


def of_messages(trajectory: Trajectory, mask: Sequence[bool], messages: int) -> dict[str, Any]:
    """Mask, origin and branch point message by message, as columns of a set; null where not told.

    A message of several actions is trained on where one of them is in `mask`. Raises as `marks`.
    """
    owner, told = messages_of_items(trajectory), marks(trajectory)
    taken = {at for at, yes in zip(owner, mask, strict=True) if yes}
    origin: list[str | None] | None = None
    if ORIGIN in told:
        origin = [None] * messages
        for at, who in zip(owner, told[ORIGIN], strict=True):
            origin[at] = origin[at] or who
    branch = told.get(BRANCH)
    return {
        MASK: [at in taken for at in range(messages)],
        ORIGIN: origin,
        BRANCH: None if branch is None else owner[branch],
    }


def of_items(trajectory: Trajectory, told: Mapping[str, Any], messages: int) -> dict[str, Any]:
    """What is `told` of the `messages` messages of a trajectory, item by item; only what is told.

    Raises ValueError where that does not belong to these messages.
    """
    _check(told, messages, "messages")
    owner, acts = messages_of_items(trajectory), actions(trajectory)
    found: dict[str, Any] = {}
    if MASK in told:
        found[MASK] = [a and bool(told[MASK][at]) for a, at in zip(acts, owner, strict=True)]
    if ORIGIN in told:
        found[ORIGIN] = [told[ORIGIN][at] if a else None for a, at in zip(acts, owner, strict=True)]
    if BRANCH in told:
        found[BRANCH] = owner.index(told[BRANCH])
    return found


def final_reward(trajectory: Trajectory) -> float | None:
    """What came of it: `reward` in its details, else that of the last item that has one."""
    told = trajectory.details.get("reward")
    if isinstance(told, int | float) and not isinstance(told, bool):
        try:
            return float(told) if math.isfinite(told) else None
        except OverflowError:
            return None
    given = (item.reward for item in reversed(trajectory.content))
    return next((reward for reward in given if reward is not None), None)


def with_details(trajectory: Trajectory, details: Mapping[str, Any]) -> Trajectory:
    """The same trajectory with these `details`."""
    return build({**trajectory.plain(), "details": dict(details)})


def is_mark(name: str, value: Any) -> bool:
    """Whether `value` can be what the mark `name` says: a list of true and false (or 1 and 0), a list of
    names and nulls, or a number from 0."""
    if name == BRANCH:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, list):
        return False
    if name == MASK:
        return all(isinstance(each, int) and each in (0, 1) for each in value)
    return all(each is None or isinstance(each, str) for each in value)


def _check(told: Mapping[str, Any], count: int, what: str) -> None:
    for name in (MASK, ORIGIN):
        if name in told and len(told[name]) != count:
            raise ValueError(f"{name} has {len(told[name])} values for {count} {what}")
    if BRANCH in told and not 0 <= told[BRANCH] < count:
        raise ValueError(f"{BRANCH} is {told[BRANCH]}, and there are {count} {what}, from 0")
