import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_protocol.topics import DEVICE_WRITES, Topics

names = st.from_regex(NAME_PATTERN.replace("$", r"\Z"))
digests = st.from_regex(r"\A[0-9a-f]{64}\Z")


@given(fleet=names, device=names, leaf=st.sampled_from([*DEVICE_WRITES, "cmd/7/result"]))
def test_device_topics_round_trip(fleet: str, device: str, leaf: str) -> None:
    topics = Topics(fleet)
    parsed = topics.parse_device(topics.device(device, leaf))
    assert (parsed.fleet, parsed.device, parsed.leaf) == (fleet, device, leaf)


@given(fleet=names, digest=digests, number=st.integers(0, 10**6))
def test_chunk_topics_round_trip(fleet: str, digest: str, number: int) -> None:
    topics = Topics(fleet)
    assert topics.parse_chunk(topics.chunk(digest, number)) == (digest, number)


@given(st.text(max_size=200))
def test_any_other_topic_is_refused_with_a_code(topic: str) -> None:
    topics = Topics("main")
    for parse in (topics.parse_device, topics.parse_chunk, topics.parse_trust):
        with pytest.raises(LamplighterError) as refused:
            parse(topic)
        assert refused.value.code in {"MESSAGE_MALFORMED", "NAME_INVALID"}


def test_topics_of_another_fleet_are_refused() -> None:
    with pytest.raises(LamplighterError, match="another fleet"):
        Topics("main").parse_device(Topics("other").device("d1", "window"))


def test_what_a_device_may_do_names_only_itself() -> None:
    topics = Topics("main")
    allowed = topics.device_may_read("pi-1") + topics.device_may_write("pi-1")
    own = [topic for topic in allowed if "/d/" in topic]
    assert own
    assert all(topic.startswith("lamp/1/main/d/pi-1/") for topic in own)
    assert not set(topics.device_may_read("pi-1")) & set(topics.device_may_write("pi-1"))


@pytest.mark.parametrize("number", ["9" * 5000, "007", "\u0663", "-1", "1\n"])
def test_a_chunk_number_is_written_in_one_way_only(number: str) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        Topics("main").parse_chunk(f"lamp/1/main/blob/{'0' * 64}/{number}")
