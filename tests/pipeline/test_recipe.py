"""A wrong recipe gives one line that names the file, the line, the key and what would be right."""

from pathlib import Path

import pytest
import yaml

from winnow.pipeline import recipe
from winnow.pipeline.errors import UsageError

GOOD = """\
dataset: sums
sources:
  - {type: reasoning_gym, family: gcd, size: 3}
  - type: dataset
    name: mine
    path: rows.jsonl
    columns: {prompt: question, answer: answer, keep: [level]}
sampling: {n: 4, max_tokens: 100}
sets:
  sft: {pass_rate: [0.1, 0.9]}
  rl:
  hard: {type: rl, pass_rate: [0, 0.25]}
holdout: 0.1
"""

OPENAI = 'engine: {{type: openai, model: m, base_url: "{}"}}\n'

# (text replaced, replacement, what the message must hold); an empty first text means: append
BAD = [
    ("", "foo: 1\n", ["r.yaml:14: foo: unknown key"]),
    ("", "engin: {}\n", ["engin: unknown key", "did you mean 'engine'?"]),
    ("sampling: {n: 4", "sampling: {nn: 4", ["r.yaml:8: sampling.nn: unknown key"]),
    ("max_tokens: 100", "max_token: 100", ["did you mean 'max_tokens'?"]),
    ("size: 3", "sizes: 3", ["r.yaml:3: sources.0.sizes: unknown key", "did you mean 'size'?"]),
    ("size: 3", "size: -3", ["sources.0.size", "greater than 0", "-3"]),
    ("size: 3", "size: three", ["sources.0.size", "integer", "'three'"]),
    ("size: 3", "size: 3.5", ["sources.0.size", "integer"]),
    ("size: 3", 'size: "3"', ["sources.0.size", "integer"]),
    (", size: 3", "", ["r.yaml:3: sources.0.size: is missing"]),
    ("type: reasoning_gym, ", "", ["sources.0", "`type` is missing"]),
    (
        "type: reasoning_gym",
        "type: reasoning",
        ["'dataset', 'reasoning_gym', 'trajectories', 'plugin'"],
    ),
    ("name: mine", "name: gcd", ["two sources are named 'gcd'"]),
    ("name: mine", "name: a b", ["sources.1.name"]),
    ("name: mine", "name: ../x", ["sources.1.name"]),
    ("{prompt: question", "{promt: question", ["sources.1.columns.promt", "'prompt'"]),
    ("keep: [level]", "keep: level", ["sources.1.columns.keep"]),
    ("dataset: sums\n", "", ["dataset: is missing"]),
    ("dataset: sums", "dataset: a/b", ["r.yaml:1: dataset"]),
    ("dataset: sums", "dataset: 7", ["r.yaml:1: dataset", "string"]),
    ("dataset: sums", "dataset: sums\ndataset: more", ["r.yaml:2: dataset: stands twice"]),
    ("n: 4", "n: 4, n: 5", ["sampling.n: stands twice"]),
    ("n: 4", "n: 0", ["sampling.n", "greater than 0"]),
    ("n: 4", "n: true", ["sampling.n", "integer"]),
    ("max_tokens: 100", "max_tokens: 4096", ["leaves no room for a prompt", "2048"]),
    ("n: 4", "temperature: -1", ["sampling.temperature"]),
    ("n: 4", "temperature: .inf", ["sampling.temperature", "finite"]),
    ("", "seed: 99999999999999999999\n", ["seed"]),
    ("", "engine: {args: {hf_overrides: {api_key: hf_abc}}}\n", ["engine.args", "api_key"]),
    ("", "engine: {type: plugin, plugin: x, args: {token: hf_abc}}\n", ["token would end up"]),
    ("n: 4", "top_p: 0", ["sampling.top_p"]),
    ("[0.1, 0.9]", "[0.9, 0.1]", ["r.yaml:10: sets.sft.pass_rate", "above its upper end"]),
    ("[0.1, 0.9]", "[0.1, 9]", ["sets.sft.pass_rate"]),
    ("[0.1, 0.9]", "0.5", ["sets.sft.pass_rate"]),
    ("type: rl, ", "", ["sets.hard", "'sft', 'rl', 'preference'"]),
    ("holdout: 0.1", "holdout: 1.0", ["holdout", "less than 1"]),
    ("", "uds: {batch: 4, keep: 8}\n", ["uds", "keep (8) must be at most batch (4)"]),
    ("", "uds: {max_tokens: 1000}\n", ["uds.max_tokens", "512"]),
    ("", "prompting: {template: solve this}\n", ["prompting.template", "{prompt}"]),
    ("", "engine: {type: openai, model: m}\n", ["uds.model is needed"]),
    ("", "engine: {type: replay}\n", ["engine.policy: is missing"]),
    ("", "engine: {type: source}\n", ["'gcd' brings no answers"]),
    ("sft: {pass_rate: [0.1, 0.9]}", "sft: {verdicts: all}", ["sets.sft.verdicts", "not_wrong"]),
    ("  rl:\n", "  rl: {mcts: {min_iteration: 2}}\n", ["mcts.min_iteration", "'min_iterations'"]),
    ("answer: answer", "files: {a: b}", ["columns", "must hold {}"]),
    ("", "engine: {type: tpu}\n", ["engine", "'vllm', 'openai', 'replay', 'source', 'plugin'"]),
    ("", "engine: {args: {hf_token: hf_abc}}\n", ["engine.args", "HF_TOKEN"]),
    ("", OPENAI.format("http://me:secret@host/v1"), ["engine.base_url", "key_env"]),
    ("", OPENAI.format("http://host/v1?api_key=1"), ["engine.base_url", "key_env"]),
    (
        "path: rows.jsonl",
        "path: http://me:secret@host/r.jsonl",
        ["r.yaml:6: sources.1.path", "HF_TOKEN"],
    ),
    ("path: rows.jsonl", "path: https://host/r.jsonl?token=hf_abc", ["sources.1.path", "download"]),
    ("path: rows.jsonl", 'path: "https://host/r.jsonl#hf_abc"', ["sources.1.path", "fragment"]),
    ("path: rows.jsonl", "path: s3://me:secret@bucket/r.jsonl", ["sources.1.path", "no user"]),
    ("path: rows.jsonl", "path: http://me@host/r.jsonl", ["sources.1.path", "no user"]),
    ("path: rows.jsonl", "path: http://me:secret/1@host/r", ["sources.1.path", "be read"]),
    ("path: rows.jsonl", "path: zip://a.csv::http://me:secret@host/a.zip", ["sources.1.path"]),
    (
        "{type: reasoning_gym, family: gcd, size: 3}",
        "{type: trajectories, name: t, path: http://me:secret@host/t.jsonl}",
        ["sources.0.path", "no user"],
    ),
    (
        "name: mine",
        "name: mine\n    verifier: maths",
        ["r.yaml:6: sources.1.verifier: no verifier", "'math'"],
    ),
    (
        "",
        "formats:\n  verl: {set: rl}\n  x: {type: verl, set: nope}\n",
        ["r.yaml:16: formats.x: there is no set"],
    ),
    ("  rl:\n", "  rl:\n  README.md: {type: rl}\n", ["r.yaml:12: sets.README.md: a version has"]),
    ("", OPENAI.format("localhost:8000"), ["engine.base_url", "http://127.0.0.1:8000/v1"]),
    ("  rl:\n", "  README.md: {type: rl}\n", ["README.md", "a file of that name"]),
    ("  rl:\n", "  recipe.yaml: {type: rl}\n", ["recipe.yaml", "a file of that name"]),
    ("", "seed: -1\n", ["seed"]),
    ("", "seed: 2024-13-45\n", ["not YAML", "month"]),
    ("", "difficulty: {prior: [0, 1]}\n", ["difficulty.prior"]),
    ("", "a: [\n", ["r.yaml:", "not YAML"]),
    ("", "\tb: 1\n", ["r.yaml:14", "not YAML"]),
]


def _spoil(old: str, new: str) -> str:
    if not old:
        return GOOD + new
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(("old", "new", "parts"), BAD)
def test_a_bad_recipe_says_what_is_wrong(old: str, new: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        recipe.parse(_spoil(old, new), "r.yaml")
    message = str(raised.value)
    assert message.startswith("r.yaml")
    assert "\n" not in message
    assert "me:secret" not in message
    assert "hf_abc" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "path", ["https://host:8443/r.jsonl", "hf://datasets/a/b@main/r.jsonl", "a/b?.jsonl", "a#1.csv"]
)
def test_addresses_without_a_secret(path: str) -> None:
    found = recipe.parse(GOOD.replace("path: rows.jsonl", f'path: "{path}"')).sources[1]
    assert getattr(found, "path", None) == path


@pytest.mark.parametrize(
    "text", ["", "- a\n", "text", "null\n", "sources: []\ndataset: x\nsets: {}"]
)
def test_what_is_no_recipe_at_all(text: str) -> None:
    with pytest.raises(UsageError, match="r.yaml"):
        recipe.parse(text, "r.yaml")


def test_the_table_of_bad_recipes_is_long_enough() -> None:
    assert len(BAD) >= 30


def test_a_missing_file_and_a_binary_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such recipe"):
        recipe.load(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.yaml: cannot be read"):
        recipe.load(binary)
    with pytest.raises(UsageError, match="cannot be read"):
        recipe.load(tmp_path)


def test_a_good_recipe_and_its_defaults() -> None:
    found = recipe.parse(GOOD)
    assert [source.name for source in found.sources] == ["gcd", "mine"]
    assert isinstance(found.sets["hard"], recipe.RLSet)
    assert found.sets["hard"].pass_rate == (0.0, 0.25)
    assert isinstance(found.engine, recipe.VLLMEngine)
    assert found.sampling.distribution.temperature == 1.0


def test_a_dumped_recipe_is_the_same_recipe() -> None:
    found = recipe.parse(GOOD)
    assert recipe.parse(yaml.safe_dump(recipe.dump(found))) == found
