"""The same permissions for EMQX 5, as the text of its `acl.conf`: pure.

https://docs.emqx.com/en/emqx/latest/access-control/authz/file.html
"""

from collections.abc import Iterable
from typing import Final

from lamplighter_protocol.topics import ROOT, Topics
from lamplighter_server.pki.authority import INGEST, RELAY

#: What EMQX puts the common name of the client's certificate for (`peer_cert_as_username = cn`).
USERNAME: Final = "${username}"


def acl_text(topics: Topics) -> str:
    """Rules for one fleet; the first that matches counts, and the last refuses everything."""
    fleet = f"{ROOT}/{topics.fleet}/#"
    rules = (
        _allow(f'{{username, "{RELAY}"}}', "publish", [fleet]),
        _allow(f'{{username, "{INGEST}"}}', "subscribe", [fleet, "$SYS/#"]),
        _allow("all", "subscribe", topics.device_may_read(USERNAME)),
        _allow("all", "publish", topics.device_may_write(USERNAME)),
        "{deny, all}.",
    )
    head = "%% Made by 'lamplighter broker emqx'; do not edit."
    return "".join(f"{line}\n" for line in (head, *rules))


def _allow(who: str, action: str, filters: Iterable[str]) -> str:
    listed = ",\n  ".join(f'"{item}"' for item in filters)
    return f"{{allow, {who}, {action}, [\n  {listed}\n]}}."
