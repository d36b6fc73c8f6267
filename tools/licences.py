"""Refuse dependencies whose licence the project could not be distributed with."""

import sys
from email.message import Message
from importlib import metadata
from typing import cast

ALLOWED = (
    "apache", "bsd", "isc", "mit", "mpl", "mozilla", "psf", "python software", "unlicense",
    "public domain", "zlib", "hpnd", "0bsd", "cc0", "epl", "zope", "linking exception",
)  # fmt: skip
#: Packages whose metadata names no licence; each was read in its repository.
READ_BY_HAND = {
    "paho-mqtt": "EPL-2.0 OR BSD-3-Clause",
    # Of the extra `dvc`.
    "asyncssh": "EPL-2.0 OR GPL-2.0-or-later",
    "grandalf": "GPL-2.0 OR EPL-1.0",
}


def licence_of(package: Message) -> str:
    """What a package says of its licence, in lower case."""
    classifiers = [
        text.rpartition("::")[2] for text in package.get_all("Classifier", []) if "License" in text
    ]
    written = package.get("License") or ""
    named = package.get("License-Expression") or "; ".join(classifiers) or written[:200]
    return str(named).lower()


def main() -> int:
    """Check every installed distribution."""
    bad = []
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        licence = READ_BY_HAND.get(name, licence_of(cast("Message", distribution.metadata))).lower()
        if not any(word in licence for word in ALLOWED):
            bad.append(f"{name}: {licence or 'none named'}")
    for line in sorted(bad):
        print("Licence not on the list:", line)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
