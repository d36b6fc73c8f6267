import subprocess
import sys
from pathlib import Path

from lamplighter_agent.observe.hold import is_held

HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    place = tmp_path / "not-now"
    assert not is_held(place)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(place)
        assert is_held(place)
    finally:
        holder.kill()  # without a chance to tidy up
        holder.communicate()
    assert place.exists()
    assert not is_held(place)


def test_a_folder_is_no_lock(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
