"""Every decoder that reads bytes from outside: how it is called, and what it usually reads.

Where a signature or a MAC stands before the decoder, the bytes are signed here: then the thief of
that key is the one who sends them.
"""

from typing import Final

from tests.conformance.fuzz.decoder import Decoder
from tests.conformance.fuzz.of_agent import OF_AGENT
from tests.conformance.fuzz.of_protocol import OF_PROTOCOL
from tests.conformance.fuzz.of_server import OF_SERVER

DECODERS: Final[dict[str, Decoder]] = {**OF_PROTOCOL, **OF_AGENT, **OF_SERVER}
