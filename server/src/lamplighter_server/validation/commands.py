"""`lamplighter validate`: the gates without a server, for a person or for CI."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import ReleaseArgument, find_release
from lamplighter_server.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from lamplighter_server.validation.results import Evidence, Validation

File = Annotated[
    Path, typer.Argument(help="An evidence.json, or predictions as Parquet or CSV.", dir_okay=False)
]
SEED: Final = 20261123


def validate(
    file: File,
    gates: Annotated[
        Path | None, typer.Option(help="The experiment file with the section 'gates'.")
    ] = None,
    incumbent: Annotated[
        Path | None, typer.Option(help="What the present release answers to the same rows.")
    ] = None,
    first_release: Annotated[
        bool, typer.Option("--first-release", help="There is no release yet to compare with.")
    ] = False,
    model_file: Annotated[
        Path | None, typer.Option(help="The model's file, for the gate on its size.")
    ] = None,
    latency_ms: Annotated[
        float | None, typer.Option(help="Of one answer, measured where it will run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the resamples.")] = SEED,
    card: Annotated[
        Path | None, typer.Option(help="Write a model card: FILE.html or FILE.md.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a model by its gates; exit 1 unless every one has passed.

    Example: lamplighter validate predictions.parquet --gates experiment.yaml --card card.html
    """
    from lamplighter_protocol.errors import LamplighterError
    from lamplighter_server.files import write_durably
    from lamplighter_server.validation.files import read_evidence
    from lamplighter_server.validation.results import Evidence

    if file.suffix == ".json":
        if gates is not None:
            raise typer.BadParameter("evidence holds what its gates said; leave --gates away.")
        evidence = read_evidence(file)
    elif gates is None:
        raise typer.BadParameter("predictions are judged by an experiment file: --gates FILE.")
    else:
        validation = _judge(
            file,
            gates,
            incumbent,
            first_release=first_release,
            size_bytes=model_file.stat().st_size if model_file else None,
            latency_ms=latency_ms,
            seed=seed,
        )
        evidence = Evidence(model=file.stem, validation=validation)
    found = evidence.validation
    if found is None or not found.gates:
        raise LamplighterError("GATES_INVALID", f"{evidence.title} holds no gates to judge by.")
    if card is not None:
        write_durably(card.absolute(), _card(card, evidence).encode(), mode=0o644)
    _show(found, as_json=as_json)
    if stopped := found.not_passed:
        raise LamplighterError(
            "GATE_FAILED",
            f"{len(stopped)} of {len(found.gates)} gates of {evidence.title} do not pass.",
        )


def card_of(
    context: typer.Context,
    release: ReleaseArgument,
    output: Annotated[
        Path | None, typer.Option(help="FILE.html or FILE.md; printed as Markdown without it.")
    ] = None,
) -> None:
    """Tell what a release is worth, for people: its model card, made from its evidence.

    Example: lamplighter model card meter-digits@2 --output card.html
    """
    from lamplighter_server.files import write_durably
    from lamplighter_server.validation.files import decode_evidence

    with connect(context) as api:
        model, number = find_release(api, release)
        found = api.get(f"/api/v1/models/{model}/releases/{number}")
    evidence = decode_evidence(found["evidence"], release)
    if output is None:
        typer.echo(_card(Path("card.md"), evidence), nl=False)
    else:
        write_durably(output.absolute(), _card(output, evidence).encode(), mode=0o644)


def _judge(
    file: Path,
    gates: Path,
    incumbent: Path | None,
    *,
    first_release: bool,
    size_bytes: int | None,
    latency_ms: float | None,
    seed: int,
) -> "Validation":
    from lamplighter_server.validation.files import read_gates_file, read_predictions
    from lamplighter_server.validation.gates import judge
    from lamplighter_server.validation.measure import measure
    from lamplighter_server.validation.results import Validation
    from lamplighter_server.validation.spec import check_gates

    spec, candidate = read_gates_file(gates), read_predictions(file)
    check_gates(spec, candidate.task, candidate.classes, candidate.groups)
    measured = measure(candidate, seed=seed)
    results = judge(
        spec,
        measured,
        incumbent=(candidate, read_predictions(incumbent)) if incumbent else None,
        size_bytes=size_bytes,
        latency_ms=latency_ms,
        first_release=first_release,
    )
    return Validation(measured=measured, gates=results)


def _card(path: Path, evidence: "Evidence") -> str:
    from lamplighter_server.validation import card

    return card.html(evidence) if path.suffix == ".html" else card.markdown(evidence)


def _show(found: "Validation", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    print_table(
        ("Outcome", "Gate", "What was found"),
        [(item.outcome, item.gate, item.sentence) for item in found.gates],
    )
