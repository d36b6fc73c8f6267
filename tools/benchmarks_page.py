"""Make docs/benchmarks.md from benchmarks/results/*.json: run after `make bench`."""

import ast
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HEAD = """<!-- Made by tools/benchmarks_page.py from what `make bench` measured. -->
# Benchmarks

Each figure is made by one command, beside what it is compared with in the same run. Absolute
figures say little about other machines; ratios and memory carry over roughly. Nothing here ran on
a Raspberry Pi yet.
"""
MARK = "\n## "


def rows(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Figures as table rows; nested ones with their path."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += rows(value, f"{prefix}{key}: ")
        else:
            lines.append(f"| {prefix}{key} | {value} |")
    return lines


def section(result: dict[str, Any]) -> str:
    """One benchmark."""
    source = (ROOT / "benchmarks" / f"{result['name'].replace('-', '_')}.py").read_text()
    about = ast.get_docstring(ast.parse(source)) or ""
    machine, versions = result["machine"], result["versions"]
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    board = f"{machine['cores']} cores of {machine['cpu']} ({machine['machine']})"
    return "\n".join(
        [
            f"{MARK}{result['name']}\n",
            about,
            f"\n```sh\n{result['command']}\n```\n",
            "| Figure | Value |",
            "| --- | --- |",
            *rows(result["figures"]),
            *rows(result["peers"], "beside it, "),
            f"\nMeasured on {board}, Python {machine['python']}; {used}.\n",
        ]
    )


def main() -> None:
    """Renew the sections of what was measured here; the others stay."""
    page = ROOT / "docs/benchmarks.md"
    _, *kept = page.read_text().split(MARK)
    sections = {text.partition("\n")[0]: MARK + text for text in kept}
    results = [json.loads(path.read_text()) for path in ROOT.glob("benchmarks/results/*.json")]
    sections |= {result["name"]: section(result) for result in results}
    page.write_text(HEAD + "".join(text for _, text in sorted(sections.items())))
    print(f"docs/benchmarks.md: {len(results)} of {len(sections)} sections renewed")


if __name__ == "__main__":
    main()
