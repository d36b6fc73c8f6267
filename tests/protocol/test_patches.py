import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol import patches
from lamplighter_protocol.assignment import PATCHES, PatchKind
from lamplighter_protocol.errors import LamplighterError

FILES = st.binary(max_size=3_000)


def unpacked(kind: PatchKind, patch: bytes, base: bytes, size_bytes: int) -> bytes:
    return b"".join(patches.apply(kind, patch, base, size_bytes))


def outcome(kind: PatchKind, patch: bytes, base: bytes, size_bytes: int) -> int | str:
    """How much it makes, or why it is refused."""
    try:
        return len(unpacked(kind, patch, base, size_bytes))
    except LamplighterError as error:
        return error.code


def weights(seed: int, changed_share: float) -> tuple[bytes, bytes]:
    """Weights before and after a gentle training."""
    random = np.random.default_rng(seed)
    old = random.normal(0, 30, 200_000).astype(np.int8)
    step = random.integers(-1, 2, old.size) * (random.random(old.size) < changed_share)
    return old.tobytes(), (old + step).astype(np.int8).tobytes()


@given(base=FILES, new=FILES, kind=st.sampled_from(["zstd", "zstd-prefix"]))
def test_a_patch_makes_the_new_file(base: bytes, new: bytes, kind: PatchKind) -> None:
    base = b"" if kind == "zstd" else base
    patch = patches.make(kind, new, base)
    assert unpacked(kind, patch, base, len(new)) == new
    assert patches.make(kind, new, base) == patch


@given(
    pair=st.integers(0, 2_000).flatmap(
        lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 2)
    )
)
def test_a_difference_makes_the_new_file(pair: tuple[bytes, bytes]) -> None:
    base, new = pair
    patch = patches.make("zstd-subtract", new, base)
    assert unpacked("zstd-subtract", patch, base, len(new)) == new


@given(
    kind=st.sampled_from(PATCHES),
    raw=st.binary(max_size=500),
    base=FILES,
    size=st.integers(0, 4_000),
)
def test_rubbish_ends_in_an_expected_error(
    kind: PatchKind, raw: bytes, base: bytes, size: int
) -> None:
    assert outcome(kind, raw, base, size) in {size, "PATCH_REFUSED"}


@given(st.data())
def test_a_patch_that_was_altered_is_refused_or_makes_as_many_bytes(data: st.DataObject) -> None:
    old, new = weights(1, 0.1)
    old, new = old[:5_000], new[:5_000]
    kind = data.draw(st.sampled_from(PATCHES))
    base = b"" if kind == "zstd" else old
    patch = bytearray(patches.make(kind, new, base))
    at = data.draw(st.integers(0, len(patch) - 1))
    patch[at] ^= data.draw(st.integers(1, 255))
    assert outcome(kind, bytes(patch), base, len(new)) in {len(new), "PATCH_REFUSED"}


@pytest.mark.parametrize("size_bytes", [0, 999_999, 1_000_001])
def test_only_the_signed_length_is_unpacked(size_bytes: int) -> None:
    bomb = patches.make("zstd", bytes(1_000_000))
    assert len(bomb) < 200
    with pytest.raises(LamplighterError, match="PATCH_REFUSED"):
        unpacked("zstd", bomb, b"", size_bytes)


def test_a_bomb_costs_no_more_than_what_was_signed() -> None:
    bomb = patches.make("zstd", bytes(patches.MAX_FILE_BYTES))
    taken: list[int] = []
    made = patches.apply("zstd", bomb, b"", 1_000_000)
    with pytest.raises(LamplighterError, match="PATCH_REFUSED"):
        taken.extend(map(len, made))
    assert sum(taken) <= 1_000_000


def test_cut_or_lengthened_patches_are_refused() -> None:
    old, new = weights(2, 0.05)
    for kind in PATCHES:
        base = b"" if kind == "zstd" else old
        patch = patches.make(kind, new, base)
        for wrong in (patch[:-1], patch[: len(patch) // 2], patch + b"x", b""):
            with pytest.raises(LamplighterError, match="PATCH_REFUSED"):
                unpacked(kind, wrong, base, len(new))


def test_each_form_wins_where_it_should() -> None:
    def sizes(new: bytes, base: bytes) -> dict[str, int]:
        return {
            kind: len(patches.make(kind, new, b"" if kind == "zstd" else base))
            for kind in PATCHES
            if kind != "zstd-subtract" or len(new) == len(base)
        }

    old, retrained = weights(3, 0.5)
    found = sizes(retrained, old)
    assert found["zstd-subtract"] < 0.5 * min(found["zstd"], found["zstd-prefix"])
    inserted = old[:70_000] + b"a new layer" + old[70_000:]
    found = sizes(inserted, old)
    assert found["zstd-prefix"] < 0.05 * found["zstd"]


def test_files_that_do_not_suit_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        patches.make("zstd-subtract", b"ab", b"a")
    with pytest.raises(LamplighterError, match="PATCH_REFUSED"):
        unpacked("zstd-subtract", b"", b"a", 2)
    with pytest.raises(LamplighterError, match="PATCH_REFUSED"):
        unpacked("zstd", b"", b"", patches.MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="too large"):
        patches.make("zstd", bytes(patches.MAX_FILE_BYTES + 1))
