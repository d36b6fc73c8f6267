import msgspec
import numpy as np
import pytest

from lamplighter_converters.session import run
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.canonical import decode
from lamplighter_protocol.counts import total_variation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import FLOAT, INT8, BuiltRelease, build_release
from lamplighter_server.training.run import Run, prepare


def test_the_bundle_reads_back_and_counts_its_own_reference(built: dict[str, BuiltRelease]) -> None:
    bundle = built["baseline"].bundle
    manifest = decode_manifest(bundle.manifest_raw)
    rows = manifest.reference.rows
    assert rows == 1257
    assert sum(manifest.reference.predicted) == rows
    for counts in manifest.reference.columns.values():
        assert sum(counts) == rows
        assert counts[0] == counts[-2] == counts[-1] == 0


def test_the_evidence_holds_what_was_measured(built: dict[str, BuiltRelease]) -> None:
    release = built["tuned"]
    evidence = decode(release.evidence_raw, dict, what="It", max_bytes=10**6)
    assert evidence["bundle_sha256"] == release.bundle.sha256
    assert len(evidence["cross_validation"]["folds"]) == RECIPES["tuned"].folds
    by_name = {item["variant"]: item for item in evidence["parity"]}
    assert by_name[FLOAT]["agreement"] == 1
    assert by_name[INT8]["agreement"] >= RECIPES["tuned"].min_agreement
    for name in (FLOAT, INT8):
        variant = evidence["variants"][name]
        assert variant["size_bytes"] == len(release.bundle.files[f"{name}.onnx"])
        assert 0.9 < variant["accuracy"] <= 1


def test_what_the_variants_lost_is_signed_and_the_evidence_is_of_the_same_files(
    built: dict[str, BuiltRelease],
) -> None:
    for release in built.values():
        manifest, report = release.bundle.manifest, release.evidence["conversion"]
        assert manifest.parity is not msgspec.UNSET
        signed = {found.variant: found for found in manifest.parity.variants}
        assert signed.keys() == {FLOAT, INT8}
        assert (signed[FLOAT].recipe, signed[INT8].recipe) == ("float", "static")
        assert report["rows_sha256"] == manifest.parity.rows_sha256
        for variant in report["variants"]:
            assert variant["sha256"] == manifest.files[f"{variant['name']}.onnx"].sha256
            assert variant["parity"]["flips"] == signed[variant["name"]].flips


@pytest.mark.parametrize(
    ("recipe", "low", "high"), [("baseline", 0, 0.1), ("tuned", 0, 0.1), ("inverted", 0.6, 1)]
)
def test_only_the_inverted_release_collapses_on_live_input(
    built: dict[str, BuiltRelease], recipe: str, low: float, high: float
) -> None:
    _, live = prepare(RECIPES["baseline"])
    bundle = built[recipe].bundle
    for variant in (FLOAT, INT8):
        labels = run(bundle.files[f"{variant}.onnx"], {"image": live.images})["label"]
        predicted = np.bincount(labels, minlength=10).tolist()
        shift = total_variation(predicted, bundle.manifest.reference.predicted)
        assert low <= shift <= high
    assert built[recipe].evidence["variants"][INT8]["accuracy"] > 0.9  # offline it looks fine


def test_a_variant_that_loses_more_than_declared_is_refused(runs: dict[str, Run]) -> None:
    import dataclasses

    strict = msgspec.structs.replace(RECIPES["baseline"], min_agreement=1.0)
    with pytest.raises(LamplighterError, match="PARITY_REFUSED"):
        build_release(dataclasses.replace(runs["baseline"], experiment=strict), 1)
