"""What an in-process client and the supervisor say to each other over a Unix socket.

The client writes a telemetry.Window as one line of JSON and waits for one word. Without TAKEN it
keeps the counts and offers them again later.
"""

from typing import Final

MAX_LINE_BYTES: Final = 1024 * 1024
TAKEN: Final = b"taken\n"
#: It would be refused again: the counts fit no release on this device.
REFUSED: Final = b"refused\n"
