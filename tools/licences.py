"""Refuse dependencies whose licence the project could not be distributed with."""

import re
import sys
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import cast

ALLOWED = (
    "apache", "bsd", "isc", "mit", "mpl", "mozilla", "psf", "python software", "unlicense",
    "public domain", "zlib", "hpnd", "0bsd", "cc0",
)  # fmt: skip
#: Packages whose metadata names no licence; each was read in its repository.
READ_BY_HAND = {"paho-mqtt": "EPL-2.0 OR BSD-3-Clause"}
#: Weak copyleft that DVC brings: nobody gets it who did not ask for the extra `dvc`.
ONLY_OPTIONAL = {
    "asyncssh": "EPL-2.0 OR GPL-2.0-or-later",
    "grandalf": "GPL-2.0 OR EPL-1.0",
    "pygit2": "GPL-2.0 with linking exception",
    "zc.lockfile": "ZPL-2.1",
}
RUNTIME_LOCK = Path(__file__).parent.parent / "requirements.lock"


def licence_of(package: Message) -> str:
    """What a package says of its licence, in lower case."""
    classifiers = [
        text.rpartition("::")[2] for text in package.get_all("Classifier", []) if "License" in text
    ]
    written = package.get("License") or ""
    named = package.get("License-Expression") or "; ".join(classifiers) or written[:200]
    return str(named).lower()


def canonical(name: str) -> str:
    """A package's name as lock files spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Check every installed distribution."""
    installed_by_default = set(re.findall(r"^([\w.-]+)==", RUNTIME_LOCK.read_text(), re.MULTILINE))
    bad = []
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name in ONLY_OPTIONAL and canonical(name) not in installed_by_default:
            continue
        licence = READ_BY_HAND.get(name, licence_of(cast("Message", distribution.metadata))).lower()
        if not any(word in licence for word in ALLOWED):
            bad.append(f"{name}: {licence or 'none named'}")
    for line in sorted(bad):
        print("Licence not on the list:", line)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
