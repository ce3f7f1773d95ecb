"""Who answers."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from winnow.pipeline.recipe_sections.part import Part, without_credentials, without_secrets


class VLLMEngine(Part):
    """vLLM in this process's care. `args` are vLLM's own engine arguments."""

    type: Literal["vllm"] = "vllm"
    model: str = "smollm2-135m-instruct"
    revision: str | None = None
    max_model_len: PositiveInt = 2048
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("args")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        return without_secrets(value)


class OpenAIEngine(Part):
    """Any OpenAI-compatible server. The key comes from the environment variable `key_env`."""

    type: Literal["openai"]
    model: str
    base_url: str = "http://127.0.0.1:8000/v1"
    revision: str = "served"
    key_env: str = "OPENAI_API_KEY"
    max_retries: NonNegativeInt = 5
    timeout_seconds: PositiveFloat = 600.0
    max_model_len: PositiveInt | None = None

    @field_validator("base_url")
    @classmethod
    def _no_credentials(cls, value: str) -> str:
        without_credentials(value, "put the key into the environment variable that `key_env` names")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
        return value


class ReplayEngine(Part):
    """Rollouts that were imported with `winnow import-rollouts`; nothing is sampled."""

    type: Literal["replay"]
    policy: str
    sampler: str = "imported"


class SourceEngine(Part):
    """The answers that the sources bring (`columns.completion`, or trajectories); nothing is sampled. A
    prompt has the first `sampling.n` different ones, of the policy `source:NAME`."""

    type: Literal["source"]


class PluginEngine(Part):
    """An engine that another package registers under the entry point group `winnow.engines`."""

    type: Literal["plugin"]
    plugin: str
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("args")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        return without_secrets(value)


EngineConfig = Annotated[
    VLLMEngine | OpenAIEngine | ReplayEngine | SourceEngine | PluginEngine,
    Field(discriminator="type"),
]
WITHOUT_SAMPLING = (ReplayEngine, SourceEngine)  # their answers exist already
