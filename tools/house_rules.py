"""Rules of the house that no other linter knows. Each names the ADR behind it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMIT_AT = {"database.py"}
MQTT_AT = {"outbox/relay.py", "ingest", "broker"}
SLICES = {
    "alerts",
    "assignments",
    "audit",
    "blobs",
    "carried",
    "claims",
    "confidential",
    "devices",
    "drift",
    "history",
    "patches",
    "people",
    "provenance",
    "releases",
    "rollouts",
    "telemetry",
    "trust",
}
#: What a slice shows to the others: what it does, and what it speaks of.
PUBLIC_MODULES = {
    "access",
    "enrolment",
    "entitled",
    "history",
    "models",
    "objects",
    "own_key",
    "peer",
    "renewal",
    "revocation",
    "roles",
    "selection",
    "service",
}
#: Writes that the audit log does not see.
UNSEEN = (
    ".bulk_insert_mappings",
    ".bulk_save_objects",
    ".bulk_update_mappings",
    ".exec_driver_sql",
)
UNSEEN_AT = {"database.py"}
CLOCK_AT = {"clock.py", "demo", "cli", "training", "publishing", "commands.py", "migrations"}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each call as (line, dotted name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.lineno, ast.unparse(node.func)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each imported module as (line, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def allowed(relative: str, places: set[str]) -> bool:
    """Whether a file of the server is one of the places, or lies in one."""
    return any(f"/{relative}".endswith(f"/{p}") or relative.startswith(f"{p}/") for p in places)


def crosses(relative: str, name: str) -> bool:
    """Whether a module of one slice imports the inside of another."""
    own, _, rest = relative.partition("/")
    package, _, inner = name.partition("lamplighter_server.")
    other, _, module = inner.partition(".")
    return (
        bool(rest)
        and not package
        and own in SLICES
        and other in SLICES - {own}
        and bool(module)
        and module not in PUBLIC_MODULES
    )


def violations() -> Iterator[str]:
    """Walk the server's sources."""
    package = ROOT / "server/src/lamplighter_server"
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package).as_posix()
        tree = ast.parse(path.read_text())
        where = path.relative_to(ROOT)
        for line, name in calls(tree):
            if name.endswith(".commit") and not allowed(relative, COMMIT_AT):
                yield f"{where}:{line}: {name}(): only the edge commits (ADR 3)"
            if name.endswith(UNSEEN) and not allowed(relative, UNSEEN_AT):
                yield f"{where}:{line}: {name}(): the audit log does not see it (ADR 13)"
            if name in {"datetime.now", "time.time"} and not allowed(relative, CLOCK_AT):
                yield f"{where}:{line}: {name}(): take the time from a Clock"
        for line, name in imports(tree):
            if crosses(relative, name):
                yield f"{where}:{line}: {name}: slices call each other's service only"
            if name.split(".")[0] in {"aiomqtt", "paho"} and not allowed(relative, MQTT_AT):
                yield f"{where}:{line}: {name}: the broker is reached through the outbox (ADR 3)"


def main() -> int:
    """Print every violation."""
    found = list(violations())
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
