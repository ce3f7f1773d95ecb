"""The recipe: one YAML file that says everything a run does.

The models below are the documentation of every key: its default is the vetted setting. `load` turns
a file into a `Recipe` or raises a `UsageError` that names the file, the line, the key and what would
be right, before anything is sampled.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from winnow.pipeline import contracts
from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.set_schemas import columns_of
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.recipe_errors import duplicates, explain, locate
from winnow.pipeline.recipe_sections import own_answers
from winnow.pipeline.recipe_sections.cleaning import Cleaning
from winnow.pipeline.recipe_sections.engines import (
    EngineConfig,
    OpenAIEngine,
    PluginEngine,
    ReplayEngine,
    SourceEngine,
    VLLMEngine,
)
from winnow.pipeline.recipe_sections.formats import FormatConfig, requests
from winnow.pipeline.recipe_sections.method_sets import (
    CritiqueSet,
    CRlftSet,
    CurriculumSet,
    DemonstrationsSet,
    FaitSet,
    GroupsSet,
    HardestSet,
    RankedSet,
    StepValuesSet,
    SureUnsureSet,
    UnpairedSet,
)
from winnow.pipeline.recipe_sections.part import Name, Part, Seed, Share
from winnow.pipeline.recipe_sections.set_base import Form
from winnow.pipeline.recipe_sections.sets import (
    SET_TYPES,
    MCTSRule,
    PreferenceSet,
    RLSet,
    SetConfig,
    SFTSet,
    TokenMasks,
)
from winnow.pipeline.recipe_sections.sources import (
    Columns,
    DatasetSource,
    PluginSource,
    ReasoningGymSource,
    SourceConfig,
    TrajectoriesSource,
)
from winnow.pipeline.recipe_sections.stopping import (
    BandFillSteering,
    IntervalStop,
    MajorityStop,
    MoppsSteering,
    Price,
    Prop2DiffSteering,
    SamplingBudget,
    SteeringConfig,
    StopConfig,
    UntilKCorrectStop,
)
from winnow.pipeline.recipe_sections.trajectory_set import TrajectoriesSet
from winnow.pipeline.verify import VERIFIERS, unknown_verifier, verifier_names
from winnow.pipeline.verify.audit import AuditConfig

__all__ = [
    "RESERVED",
    "CRlftSet",
    "Columns",
    "CritiqueSet",
    "CurriculumSet",
    "DatasetSource",
    "DemonstrationsSet",
    "EngineConfig",
    "FaitSet",
    "GroupsSet",
    "HardestSet",
    "OpenAIEngine",
    "PluginEngine",
    "PluginSource",
    "PreferenceSet",
    "Prompting",
    "RLSet",
    "RankedSet",
    "ReasoningGymSource",
    "Recipe",
    "ReplayEngine",
    "SFTSet",
    "SamplingConfig",
    "SetConfig",
    "SourceConfig",
    "SourceEngine",
    "StepValuesSet",
    "SureUnsureSet",
    "TrajectoriesSet",
    "TrajectoriesSource",
    "UDSConfig",
    "UnpairedSet",
    "VLLMEngine",
    "dump",
    "load",
    "parse",
]

# What stands beside the sets in a version's folder.
RESERVED = frozenset(
    (
        "manifest.json",
        "recipe.yaml",
        "readme.md",
        "run.json",
        "sha256sums",
        "ledger.parquet",
        "card",
    )
)


class Prompting(Part):
    """How a source's text becomes the conversation that the model sees."""

    system: str | None = None
    template: str = "{prompt}"

    @field_validator("template")
    @classmethod
    def _has_the_prompt(cls, value: str) -> str:
        if "{prompt}" not in value:
            raise ValueError("must contain {prompt}, the place of the source's text")
        return value


class SamplingConfig(Part):
    """How many answers are drawn per prompt, and from which distribution.

    With rules in `stop`, a prompt gets answers until one of them is content, at most `n`.
    """

    n: PositiveInt = 4
    stop: tuple[StopConfig, ...] = ()
    steer: SteeringConfig | None = None  # which prompts are sampled at all
    budget: SamplingBudget = SamplingBudget()
    price: Price | None = None  # of a million tokens
    max_tokens: PositiveInt = 512
    temperature: NonNegativeFloat = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    min_p: Share = 0.0
    repetition_penalty: PositiveFloat = 1.0
    concurrency: PositiveInt = 256  # requests in flight
    max_attempts: PositiveInt = 3  # tries at one answer before its error stands

    @field_validator("stop", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @property
    def adaptive(self) -> bool:
        """Whether how many answers a prompt gets depends on their verdicts, or on a budget."""
        return bool(self.stop or self.steer) or self.budget != SamplingBudget()

    @model_validator(mode="after")
    def _steerable(self) -> "SamplingConfig":
        bands = [each for each in self.stop if isinstance(each, IntervalStop) and each.band]
        if isinstance(self.steer, BandFillSteering) and len(bands) != 1:
            raise ValueError("steer: band_fill needs one `stop` rule of type interval with a band")
        return self

    @property
    def distribution(self) -> contracts.Sampling:
        return contracts.Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )


class VerifyConfig(Part):
    """Worker processes that judge answers. `workers` null: one per core, at most 8."""

    timeout_seconds: PositiveFloat = 10.0
    workers: PositiveInt | None = None


class DifficultyConfig(Part):
    """Beta prior of the pass rate, (alpha, beta); (1, 1) is uniform."""

    prior: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)

    @field_validator("prior", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class EmbeddingConfig(Part):
    """Sentence embeddings of the prompts."""

    model: str = "all-minilm-l6-v2"
    batch_size: PositiveInt = 64


class ClusterConfig(Part):
    """faiss k-means over the embeddings; `k` is clipped to the number of distinct vectors."""

    k: PositiveInt = 16
    starts: PositiveInt = 5
    iterations: PositiveInt = 25


class UDSConfig(Part):
    """Utility-diversity online batch selection (arXiv 2510.16882) over the correct answers.

    `keep` of every `batch` candidates are selected. `alpha` belongs to the official projection's
    scale; with `orthonormal` it is rescaled so that both rank alike. `rows`: which token rows of the
    logits count.
    """

    model: str | None = None  # default: the engine's model
    alpha: NonNegativeFloat = 0.0025
    buffer: PositiveInt = 1024
    batch: PositiveInt = 8
    keep: PositiveInt = 4
    projection: Literal["official", "orthonormal"] = "official"
    rows: Literal["all", "response"] = "all"
    max_tokens: Annotated[int, Field(gt=0, le=512)] = 512

    @model_validator(mode="after")
    def _keep_fits(self) -> "UDSConfig":
        if self.keep > self.batch:
            raise ValueError(f"keep ({self.keep}) must be at most batch ({self.batch})")
        return self


class Recipe(Part):
    """One run. `dataset` names the folder that its versions go to."""

    dataset: Name
    description: str = ""
    seed: Seed = 0
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    clean: Cleaning = Cleaning()
    prompting: Prompting = Prompting()
    engine: EngineConfig = VLLMEngine()
    sampling: SamplingConfig = SamplingConfig()
    verify: VerifyConfig = VerifyConfig()
    judge: EngineConfig | None = None  # whom verifiers ask that ask a model; null: the engine
    audit: AuditConfig = AuditConfig()
    difficulty: DifficultyConfig = DifficultyConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    clusters: ClusterConfig = ClusterConfig()
    uds: UDSConfig = UDSConfig()
    sets: dict[Name, SetConfig] = Field(min_length=1)
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the template groups
    formats: dict[Name, FormatConfig] = Field(default_factory=dict)
    provenance: bool = True  # views say of each row which policy, sampler and verifier it is from

    @model_validator(mode="before")
    @classmethod
    def _sets_are_typed_by_their_names(cls, data: Any) -> Any:
        """`sft: {}` is a set of type sft, `verl: {}` a view of type verl; another name needs its
        `type`."""
        for section in ("sets", "formats"):
            if isinstance(data, dict) and isinstance(data.get(section), dict):
                typed = {
                    name: {"type": name, **(body or {})} if isinstance(body, dict | None) else body
                    for name, body in data[section].items()
                }
                data = {**data, section: typed}
        for role in ("engine", "judge"):
            if isinstance(data, dict) and isinstance(data.get(role), dict):
                data = {**data, role: {"type": "vllm", **data[role]}}
        return data

    @field_validator("sources", mode="before")
    @classmethod
    def _tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        for section, named in (("sets", [*self.sets]), ("formats", [*self.formats])):
            for name in named:
                if name.lower() in RESERVED:
                    raise ValueError(f"{section}.{name}: a version has a file of that name")
        try:
            self.views()
        except UsageError as error:
            raise ValueError(str(error)) from None
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {twice[0]!r}; give each its own `name`")
        limit = getattr(self.engine, "max_model_len", None)
        if limit is not None and self.sampling.max_tokens >= limit:
            raise ValueError(
                f"sampling.max_tokens ({self.sampling.max_tokens}) leaves no room for a prompt: "
                f"it must be below engine.max_model_len ({limit})"
            )
        if isinstance(self.engine, SourceEngine):
            own_answers.check(self.sources, adaptive=self.sampling.adaptive)
        own_answers.check_trajectories(self.sources, self.engine, self.sets)
        if self.uds.model is None and not isinstance(self.engine, VLLMEngine):
            if any(isinstance(s, SFTSet) and s.uds for s in self.sets.values()):
                raise ValueError(
                    f"uds.model is needed: engine {self.engine.type} has no weights here to score "
                    "with (name a model, or set `uds: false` in the sft sets)"
                )
        return self

    @property
    def shows_images(self) -> bool:
        """Whether some source has a column of images; every set then has one."""
        columns = (getattr(source, "columns", None) for source in self.sources)
        return any(each is not None and each.images is not None for each in columns)

    def views(self) -> dict[str, ViewRequest]:
        """What `formats` asks for, by the view's name; raises UsageError."""
        images = self.shows_images
        columns = {name: columns_of(each.type, images=images) for name, each in self.sets.items()}
        return requests(self.formats, columns, provenance=self.provenance)


def load(path: str | Path) -> Recipe:
    """Read and validate the recipe in `path`; raises UsageError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, origin: str = "<recipe>") -> Recipe:
    """Validate the YAML `text`; errors call it `origin`."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise UsageError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from None
    except ValueError as error:  # an impossible date, say
        raise UsageError(f"{origin}: not YAML: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(
            f"{origin}: a recipe is a mapping of keys, such as `dataset:` and `sources:`"
        )
    for key, line in duplicates(node):
        raise UsageError(f"{origin}:{line}: {key}: stands twice")
    try:
        found = Recipe.model_validate(data)
    except ValidationError as error:
        raise UsageError(explain(error, origin, node, Recipe, _TYPED)) from None
    # Not a rule of the model: a recipe from a version's manifest may name what is not installed here.
    for at, source in enumerate(found.sources):
        verifier = getattr(source, "verifier", None)
        if verifier is not None and verifier not in VERIFIERS and verifier not in verifier_names():
            key, line = locate(["sources", at, "verifier"], node)
            said = unknown_verifier(verifier, verifier_names())
            raise UsageError(f"{origin}:{line}: {key}: {said}")
    return found


def dump(part: BaseModel) -> dict[str, Any]:
    """A recipe or a section of it, defaults included, as plain JSON values."""
    return part.model_dump(mode="json")


# Sections whose place in an error is named by their type and not by a key of the recipe.
_TYPED: dict[str, type[BaseModel]] = {
    "dataset": DatasetSource,
    "reasoning_gym": ReasoningGymSource,
    "vllm": VLLMEngine,
    "openai": OpenAIEngine,
    "replay": ReplayEngine,
    "source": SourceEngine,
    "plugin": PluginSource,
    **SET_TYPES,
    "sources.trajectories": TrajectoriesSource,
    "interval": IntervalStop,
    "until_k_correct": UntilKCorrectStop,
    "majority": MajorityStop,
    "band_fill": BandFillSteering,
    "mopps": MoppsSteering,
    "prop2diff": Prop2DiffSteering,
    "columns": Columns,
    "mcts": MCTSRule,
    "form": Form,
    "token_masks": TokenMasks,
}
