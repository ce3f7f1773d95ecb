"""Where prompts come from, and which columns hold what."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, field_validator, model_validator

from winnow.pipeline.recipe_sections.part import (
    Name,
    Part,
    Seed,
    without_credentials,
    without_secrets,
)


def _place(path: str) -> str:
    return without_credentials(
        path,
        "download the file and name it here, or give the token in the environment (HF_TOKEN for the "
        "hub)",
    )


Place = Annotated[str, AfterValidator(_place)]


class Columns(Part):
    """Which columns of a source hold what.

    `prompt` is text, or a list of {role, content}; several columns of text (or lists of texts, one a
    line) are joined by blank lines in the order given (those that a row leaves empty are skipped). A
    row's own arguments of the verifier come from `verifier_args` (a column of JSON) and from
    `arguments` (argument: column), over those of the source. `files` names those of the arguments
    that are files: their path, in which `{}` stands for the row's value, such as
    `database: databases/{}.sqlite`. `json_columns` hold JSON text, and are read as what it says.

    `images` holds the prompt's pictures: one or a list, each as bytes, as `datasets` keeps them, as a
    `data:` address, or as the path of a file below the source's folder. Each `<image>` in the prompt's
    text is one of them, in order; without any they stand before the last message. A message in parts
    (`text` and `image`) has them where its images are.

    `completion` is an answer that the row brings, which `engine: {type: source}` takes. Where it is
    the prompt's own column, a conversation, its last message is the answer.
    """

    prompt: str | Annotated[tuple[str, ...], Field(min_length=1)] = "prompt"
    answer: str | None = "answer"
    completion: str | None = None
    images: str | None = None
    domain: str | None = None
    verifier_args: str | None = None
    arguments: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    json_columns: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @field_validator("prompt", "keep", "json_columns", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("files")
    @classmethod
    def _patterns(cls, value: dict[str, str]) -> dict[str, str]:
        for name, pattern in value.items():
            if "{}" not in pattern:
                raise ValueError(f"{name}: the path must hold {{}}, the place of the value")
        return value

    @model_validator(mode="after")
    def _files_are_arguments(self) -> "Columns":
        for name in self.files:
            if name not in self.arguments:
                raise ValueError(f"files: {name} is not among `arguments`, which name its column")
        return self

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompt's columns."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @property
    def named(self) -> frozenset[str]:
        """Every column that some key names."""
        single = (self.answer, self.completion, self.images, self.domain, self.verifier_args)
        several = (*self.prompts, *self.arguments.values(), *self.json_columns, *self.keep)
        return frozenset((*(name for name in single if name is not None), *several))


class DatasetSource(Part):
    """Anything `datasets.load_dataset` opens: a hub id, a folder, Parquet, JSONL or CSV files."""

    type: Literal["dataset"]
    path: Place
    name: Name
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: Columns = Columns()
    verifier: str = "math"
    verifier_args: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None


class ReasoningGymSource(Part):
    """One procedural task family of reasoning-gym, judged by its own scorer."""

    type: Literal["reasoning_gym"]
    family: str
    size: PositiveInt
    seed: Seed = 0
    config: dict[str, Any] = Field(default_factory=dict)
    name: Name = ""
    licence: str | None = "apache-2.0"

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_family(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("family"), str):
            return {**data, "name": data["family"]}
        return data


class TrajectoriesSource(Part):
    """Conversations of agents that call tools, from JSON Lines, JSON or Parquet files, or from a hub; with
    `engine: {type: source}`.

    A row is an object of the Agent Data Protocol (arXiv 2510.24702); a row of a published view `adp` or
    set of type trajectories; or a conversation: `messages` as OpenAI has them (role, content,
    tool_calls, tool_call_id, name, reasoning_content, weight), and where there is one `id`, `tools`
    (schemas, as a list or JSON text), `reward` (the final one) and, message by message, `loss_mask`
    (without it, a `weight` of 0 is not trained on), `origin` (expert or student) and `branch_point` (the
    first message that the student wrote). Content in parts of text is their text. Its further keys go
    to the trajectory's `details`.

    The prompt is what system and user say before the first action; the recipe's `prompting` is not
    put around it. The answer is the last text of the agent, or its last call, as JSON, where it says
    nothing.
    """

    type: Literal["trajectories"]
    path: Place
    name: Name
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    answer: str | None = None  # key of `details`, or of a conversation, with the reference
    verifier: str = "none"
    verifier_args: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None

    @property
    def dataset(self) -> DatasetSource:
        """Where the rows are."""
        places = ("path", "name", "config", "split", "revision")
        return DatasetSource(type="dataset", **{key: getattr(self, key) for key in places})


class PluginSource(Part):
    """A source that another package registers under the entry point group `winnow.sources`."""

    type: Literal["plugin"]
    plugin: str
    name: Name
    args: dict[str, Any] = Field(default_factory=dict)
    columns: Columns = Columns()
    verifier: str = "math"
    verifier_args: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None

    @field_validator("args")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        return without_secrets(value)


SourceConfig = Annotated[
    DatasetSource | ReasoningGymSource | TrajectoriesSource | PluginSource,
    Field(discriminator="type"),
]
