"""TLS for boards without a clock: chains are checked without time, then dates by what we know."""

import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from lamplighter_protocol.errors import LamplighterError

#: X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which the ssl module does not name.
_NO_CHECK_TIME: Final = 0x200000


def device_context(ca_file: Path, certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """The context of an enrolled device: only the pinned authority, its own certificate shown."""
    context = pinned_context(ca_file.read_text())
    context.load_cert_chain(certificate_file, key_file)
    return context


def pinned_context(ca_pem: str) -> ssl.SSLContext:
    """A context that trusts one authority only and leaves dates to check_dates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca_pem)
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def check_dates(certificate: Mapping[str, Any], now_utc: datetime) -> None:
    """Refuse a peer's certificate that has expired.

    That it is valid already is not checked: a board that woke up in 1970 cannot know.

    Args:
        certificate: As `SSLSocket.getpeercert()` gives it.
        now_utc: The later of the clock and the signed floor of time.

    Raises:
        LamplighterError: SERVER_UNTRUSTED.
    """
    try:
        last_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    except (KeyError, ValueError) as error:
        raise LamplighterError("SERVER_UNTRUSTED", "The certificate has no dates.") from error
    last_utc = datetime.fromtimestamp(last_s, timezone.utc)
    if now_utc > last_utc:
        raise LamplighterError("SERVER_UNTRUSTED", f"The certificate expired {last_utc}.")
