"""What a run tells its card beyond the sets: languages, clusters, counts behind limits, pictures."""

import json
import shutil
from pathlib import Path

from winnow.pipeline.publish.version import verify_version
from winnow.stages import chain
from winnow.stages.base import Context

RECIPE = """
dataset: own
sources:
  - {{type: dataset, name: own, path: {source}, columns: {{prompt: q, answer: ref, completion: a}}, licence: mit}}
engine: {{type: source}}
sampling: {{n: 1}}
clusters: {{k: 2}}
verify: {{workers: 1}}
sets: {{sft: {{uds: false}}}}
"""


def test_what_a_run_tells_its_card(tmp_path: Path) -> None:
    rows = [
        {
            "q": f"How many apples are left when a farmer has {n} of them and sells three to a friend?",
            "a": f"The answer is {n - 3 if n % 2 else n}.",
            "ref": str(n - 3),
        }
        for n in range(10, 20)
    ]
    rows.append({"q": "Wie viele Äpfel bleiben dem alten Bauern übrig?", "a": "Viele.", "ref": "3"})
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    recipe = tmp_path / "own.yaml"
    recipe.write_text(RECIPE.format(source=source))
    ctx = Context.of(recipe, tmp_path / "data")
    version = chain.run(ctx).version
    manifest = version.manifest()
    assert manifest["languages"] == {"de": 1, "en": 10}
    assert sum(manifest["clusters"]) == 11 and len(manifest["clusters"]) == 2
    assert manifest["clusters"] == sorted(manifest["clusters"], reverse=True)
    assert manifest["facts"] == {
        "answers": 11, "truncated": 0, "verdicts": 11, "unjudged": 0, "tasks": 11, "unsampled": 0,
        "suspects": 0, "templates": 2, "largest_template": 10,
    }  # fmt: skip
    assert manifest["pictures"] == ["clusters.png", "pass-rates.png"]
    assert verify_version(version.path) == []
    card = (version.path / "README.md").read_text()
    assert "11 prompts follow 2 templates, and the commonest alone makes 90.9 % of them" in card
    for name in manifest["pictures"]:
        assert f"](card/{name})" in card
        assert (version.path / "card" / name).read_bytes().startswith(b"\x89PNG")
    # Published again, it has the same name: no byte of it, pictures included, differs.
    shutil.rmtree(version.path)
    assert chain.build(ctx).version.id == version.id
    assert (version.path / "card" / "clusters.png").is_file()
