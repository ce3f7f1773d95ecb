"""The arguments of the verifier `ensemble`."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from winnow.pipeline.arguments import Arguments, BadArguments
from winnow.pipeline.errors import UsageError

MAX_MEMBERS = 16
MAX_DEPTH = 3  # ensembles within ensembles
NAME = "ensemble"


class Member(Arguments):
    """One verifier of an ensemble."""

    name: str = Field(description="Name of the verifier.")
    args: dict[str, Any] = Field({}, description="Its own arguments.")
    weight: float = Field(1.0, description="What its reward is multiplied by (rule weighted).")
    range: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="[lowest, highest] reward that it can give (rule weighted). With it, a sum can be "
        "judged although this member is unjudged, where no reward in this range would change the "
        "verdict; a reward outside it leaves the row unjudged.",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError("range must be [lowest, highest]")
        return self


class EnsembleArguments(Arguments):
    """Which verifiers judge, and how their verdicts become one."""

    verifiers: list[Member] = Field(
        min_length=1,
        max_length=MAX_MEMBERS,
        description="The members: objects with `name`, and optionally `args`, `weight`, `range`.",
    )
    rule: Literal["all", "any", "majority", "weighted"] = Field(
        "all",
        description="all: correct where every member says so, wrong where one does. any: correct "
        "where one member says so, wrong where every one does. majority: of the judged members, a tie "
        "is unjudged. weighted: by the weighted sum of the rewards.",
    )
    quorum: int | None = Field(
        None,
        ge=1,
        description="Members that must have judged (rule majority). Default: more than half.",
    )
    threshold: float | None = Field(
        None, description="Smallest sum that is correct (rule weighted, which needs it)."
    )
    clip: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="[lowest, highest]: bounds that the sum is clipped to (rule weighted).",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        weighted = self.rule == "weighted"
        if weighted and self.threshold is None:
            raise ValueError("threshold is needed with the rule weighted")
        if not weighted:
            members = any(
                {"weight", "range"} & member.model_fields_set for member in self.verifiers
            )
            if members or self.threshold is not None or self.clip is not None:
                raise ValueError("threshold, clip, weight and range go with the rule weighted")
        if self.quorum is not None:
            if self.rule != "majority":
                raise ValueError("quorum goes with the rule majority")
            if self.quorum > len(self.verifiers):
                raise ValueError("quorum is larger than the number of members")
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("clip must be [lowest, highest]")
        return self

    @property
    def needed(self) -> int:
        """Members that must have judged for a majority."""
        return len(self.verifiers) // 2 + 1 if self.quorum is None else self.quorum

    @property
    def labels(self) -> list[str]:
        """A name for each member: its verifier's, with a number from 0 where that stands twice."""
        names = [member.name for member in self.verifiers]
        return [
            f"{name}[{names[:at].count(name)}]" if names.count(name) > 1 else name
            for at, name in enumerate(names)
        ]


def read(args: Mapping[str, Any], depth: int = 1) -> EnsembleArguments:
    """The arguments of an ensemble, its members' included. Raises BadArguments for an unknown member,
    for arguments that a member does not take, and for ensembles nested too deeply."""
    from winnow.pipeline.verify import get_verifier

    if depth > MAX_DEPTH:
        raise BadArguments(f"ensembles are nested more than {MAX_DEPTH} deep")
    found = EnsembleArguments.read(args)
    for at, member in enumerate(found.verifiers):
        try:
            if member.name == NAME:
                read(member.args, depth + 1)
            elif (takes := getattr(get_verifier(member.name), "Arguments", None)) is not None:
                takes.read(member.args)
        except (BadArguments, UsageError) as error:
            raise BadArguments(f"verifiers.{at} ({member.name}): {error}") from None
    return found
