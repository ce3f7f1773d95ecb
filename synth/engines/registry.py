"""Recipe's `engine:` section in, running engine out.

To add an engine: implement `winnow.pipeline.contracts.Engine` in one file beside this one, give the
recipe a config class with its own `type`, and add a branch to both functions below. Another package
registers its own under the entry point group `winnow.engines` (a callable that takes the recipe's
`engine.args` as keywords and returns an Engine); recipes name it with `type: plugin`.
"""

from importlib.metadata import entry_points
from typing import Any, Protocol

from winnow.pipeline import recipe
from winnow.pipeline.contracts import Engine, Identity
from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import resolve_model
from winnow.pipeline.names import digest


class _Plugin(Protocol):
    def __call__(self, **args: Any) -> Engine: ...


def identity_of(config: recipe.EngineConfig) -> Identity:
    """What the engine's answers are named by, without starting it."""
    match config:
        case recipe.VLLMEngine():
            folder = resolve_model(config.model, config.revision)
            return Identity(folder.identity, folder.template_hash())
        case recipe.OpenAIEngine():
            from winnow.synth.engines import openai

            return openai.identity(config)
        case recipe.ReplayEngine():
            return Identity(config.policy, "imported")
        case recipe.SourceEngine():
            from winnow.synth.engines import replay

            return replay.SOURCES
        case recipe.PluginEngine():
            args = digest("plugin/1", config.args)[:16]
            return Identity(f"{config.plugin}@{args}", "plugin")


async def start(config: recipe.EngineConfig) -> Engine:
    """Start the engine. Whoever starts it closes it."""
    match config:
        case recipe.VLLMEngine():
            from winnow.synth.engines.vllm import VLLMEngine

            folder = resolve_model(config.model, config.revision)
            return await VLLMEngine.start(
                folder, max_model_len=config.max_model_len, args=config.args
            )
        case recipe.OpenAIEngine():
            from winnow.synth.engines.openai import OpenAIEngine

            return OpenAIEngine(config)
        case recipe.ReplayEngine() | recipe.SourceEngine():
            from winnow.synth.engines.replay import Recorded

            return Recorded(identity_of(config))
        case recipe.PluginEngine():
            return _plugin(config.plugin)(**config.args)


def _plugin(name: str) -> _Plugin:
    found = {point.name: point for point in entry_points(group="winnow.engines")}
    if name not in found:
        known = ", ".join(sorted(found)) or "none is installed"
        raise UsageError(f"engine.plugin: no engine named {name!r} (known: {known})")
    plugin: _Plugin = found[name].load()
    return plugin
