"""Puts the site's pages together for MkDocs: the repository's Markdown and notebooks, a reference page for each room.

A notebook is there twice: as the file that links name, and as a page that shows its cells.
"""

import json
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", "docs/*.md", "docs/guides/*.md", "experiments/results/*.md")
FILES = (
    "LICENSE",
    "CITATION.cff",
    "docs/figures/*.svg",
    "docs/figures/*.png",
    "experiments/results/*.png",
    "docs/notebooks/*.ipynb",
)
REFERENCE = {
    "package": ("The package", ["ada_ensemble_tf.inference.runs", "ada_ensemble_tf.inference.tables"]),
    "models": ("Models", ["ada_ensemble_tf/models/*"]),
    "experts": ("Experts", ["ada_ensemble_tf/experts/*"]),
    "gates": ("Gates", ["ada_ensemble_tf/gates/*"]),
    "moe": ("Mixtures", ["ada_ensemble_tf/moe/*"]),
    "dhen": ("DHEN", ["ada_ensemble_tf/dhen/*"]),
    "layers": ("Layers", ["ada_ensemble_tf/layers/*"]),
    "optimizers": ("Optimisers", ["ada_ensemble_tf/optimizers/*"]),
    "losses": ("Losses", ["ada_ensemble_tf/losses/*"]),
    "training": (
        "Training",
        ["ada_ensemble_tf/updates/*", "ada_ensemble_tf/training/hooks/*", "ada_ensemble_tf.training.run"],
    ),
    "inference": ("Inference", ["ada_ensemble_tf/inference/*", "ada_ensemble_tf/evaluation/*"]),
    "data": ("Prepared data", ["data_pipelines.read.dataset", "data_pipelines.fields.schema"]),
}
"""By page: its title, and modules or patterns of module files."""


def modules(place: str) -> list[str]:
    """The modules that a place of `REFERENCE` names."""
    if "/" not in place:
        return [place]
    files = sorted(ROOT.glob(f"{place}.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stem != "__init__"]


def page_of(notebook: Path) -> str:
    """A notebook's cells as Markdown."""
    parts = []
    for cell in json.loads(notebook.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"[The notebook]({notebook.name}), to run it.\n"])


for pattern in (*PAGES, *FILES):
    for path in sorted(ROOT.glob(pattern)):
        with mkdocs_gen_files.open(path.relative_to(ROOT).as_posix(), "wb") as file:
            file.write(path.read_bytes())
for path in sorted(ROOT.glob("docs/notebooks/*.ipynb")):
    with mkdocs_gen_files.open(path.relative_to(ROOT).with_suffix(".md").as_posix(), "w") as file:
        file.write(page_of(path))
for name, (title, places) in REFERENCE.items():
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as file:
        print(f"# {title}", file=file)
        for module in (module for place in places for module in modules(place)):
            print(f"\n::: {module}", file=file)
