"""The command line: `lamplighter-agent`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lamplighter_agent import __version__
from lamplighter_agent.app.config import DATA_DIR_VARIABLE, DEFAULT_DATA_DIR, DataDir, Settings
from lamplighter_agent.app.configfile import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    choose_config,
    load_settings,
)
from lamplighter_protocol.errors import LamplighterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 done, 1 refused or failed, 2 usage."""
    chosen = make_parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except LamplighterError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options; docs/reference/commands.md is made from it."""
    parser = argparse.ArgumentParser(
        prog="lamplighter-agent",
        description="Runs signed models on this device, watches them and goes back by itself.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    enrol = _command(commands, "enrol", "enrol this device", "lamp1.iaZkZXZpY2U...")
    enrol.add_argument("invitation", help="the text from 'lamplighter device invite'")
    enrol.add_argument(
        "--name",
        default="",
        help="what this device wants to be called, with a text from 'device invite --claim': it "
        "then asks until somebody lets it in",
    )
    enrol.add_argument("--replace", action="store_true", help="give up the present identity")
    enrol.add_argument(
        "--key",
        metavar="URI",
        help="keep the device's own key on a token: "
        "'pkcs11:token=T;object=KEY?module-path=/M.so&pin-source=file:/PIN-FILE' "
        "(default: in a file)",
    )
    enrol.set_defaults(command=_enrol)
    run = _command(commands, "run", "run the agent until it is stopped", "--serve-port 8500")
    _add_config(run)
    run.add_argument(
        "--serve-port",
        type=int,
        metavar="PORT",
        help="loopback port of the first model, the next ones count up; 0 takes free ones "
        "(default: as configured)",
    )
    run.add_argument(
        "--socket-dir",
        metavar="DIR",
        help="folder of the models' Unix sockets, MODEL.sock, for the agent's user and group "
        "(default: as configured)",
    )
    run.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        help="what goes to standard error (default: as configured)",
    )
    run.set_defaults(command=_run)
    status = _command(commands, "status", "show what the agent does", "--json")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=_status)
    config = _command(commands, "config", "check the configuration and show it", "--json")
    _add_config(config)
    config.add_argument("--json", action="store_true", help="for programs")
    config.set_defaults(command=_config)
    doctor = _command(commands, "doctor", "look at everything, and say what to do", "--json")
    _add_config(doctor)
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)
    apply = _command(commands, "apply", "take an update that was carried here", "/media/stick")
    apply.add_argument(
        "place",
        type=Path,
        help="the file from 'lamplighter device export', or the folder that it is in",
    )
    apply.set_defaults(command=_apply)
    provenance = _command(
        commands,
        "provenance",
        "prove what this device runs and where it comes from",
        "--export pi-1.json",
    )
    provenance.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="where to write it, for 'lamplighter device provenance --verify FILE' "
        "(default: standard output)",
    )
    provenance.set_defaults(command=_provenance)
    _add_tuf(commands)
    return parser


def _add_tuf(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The protocol of the public tests of TUF clients, which fixes every name."""
    tuf = commands.add_parser(
        "tuf",
        help="speak the protocol of the public TUF conformance tests",
        description="The agent's TUF client over HTTP, for the public conformance tests.",
        epilog="example: lamplighter-agent tuf --metadata-dir D --metadata-url URL refresh",
    )
    tuf.add_argument("--metadata-dir", type=Path, required=True, metavar="DIR")
    tuf.add_argument("--metadata-url", default="", metavar="URL")
    tuf.add_argument("--target-name", action="append", default=[], metavar="PATH")
    tuf.add_argument("--target-base-url", default="", metavar="URL")
    tuf.add_argument("--target-dir", type=Path, metavar="DIR")
    steps = tuf.add_subparsers(required=True, metavar="STEP", dest="step")
    init = steps.add_parser("init", help="begin with a trusted root")
    init.add_argument("root", type=Path, metavar="ROOT")
    steps.add_parser("refresh", help="update the four top-level roles")
    steps.add_parser("download", help="update, then bring targets")
    tuf.set_defaults(command=_tuf)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=f"example: lamplighter-agent {name} {example}",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"where the agent keeps its things (default: ${DATA_DIR_VARIABLE}, "
        f"then {DEFAULT_DATA_DIR})",
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration file (default: ${CONFIG_VARIABLE}, then {DEFAULT_CONFIG} if it "
        "is there)",
    )


def _enrol(chosen: argparse.Namespace) -> int:
    from lamplighter_agent.app.enrolment import enrol_device

    data = DataDir.choose(chosen.data_dir)
    identity = enrol_device(
        data,
        chosen.invitation,
        name=chosen.name,
        replace=chosen.replace,
        key_uri=chosen.key,
        tell=_tell,
    )
    sys.stdout.write(
        f"{identity.enrolment.device} is enrolled in fleet {identity.enrolment.fleet}. "
        "Start it: lamplighter-agent run\n"
    )
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _run(chosen: argparse.Namespace) -> int:
    from lamplighter_agent.app.family import adopted_orphans
    from lamplighter_agent.app.supervisor import Supervisor
    from lamplighter_agent.store.identity import load_identity

    settings = _settings(
        chosen,
        serve_port=chosen.serve_port,
        socket_dir=chosen.socket_dir,
        log_level=chosen.log_level,
    )
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    identity = load_identity(settings.data.identity)

    async def supervise() -> None:
        await Supervisor(identity, settings).run()

    with adopted_orphans():
        asyncio.run(supervise())
    return 0


def _settings(chosen: argparse.Namespace, **options: object) -> Settings:
    config = choose_config(chosen.config)
    return load_settings(DataDir.choose(chosen.data_dir), config, **options)


def _config(chosen: argparse.Namespace) -> int:
    import msgspec

    from lamplighter_agent.app.configfile import in_force

    shown = in_force(_settings(chosen))
    if chosen.json:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        sys.stdout.writelines(
            f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in shown.items()
        )
    return 0


def _apply(chosen: argparse.Namespace) -> int:
    from lamplighter_agent.app.bell import ring
    from lamplighter_agent.app.carrier import hand_in
    from lamplighter_agent.store.identity import load_identity

    data = DataDir.choose(chosen.data_dir)
    file = hand_in(chosen.place, data.carried, load_identity(data.identity).enrolment)
    ring(data.bell)
    sys.stdout.write(
        f"{file.name} is taken; it may be removed. The agent judges it as if the server had sent "
        "it: lamplighter-agent status\n"
    )
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    import msgspec

    from lamplighter_agent.app.doctor.examine import examine

    findings = []
    for finding in examine(DataDir.choose(chosen.data_dir), choose_config(chosen.config)):
        findings.append(finding)
        if not chosen.json:
            sys.stdout.write(f"{finding.verdict:4} {finding.check}: {finding.sentence}\n")
            sys.stdout.write(f"     {finding.remedy}\n" * bool(finding.remedy))
            sys.stdout.flush()
    if chosen.json:
        sys.stdout.write(msgspec.json.encode(findings).decode() + "\n")
    return int(any(finding.verdict == "fail" for finding in findings))


def _tuf(chosen: argparse.Namespace) -> int:
    from lamplighter_agent.trust import commands

    if chosen.step == "init":
        commands.init(chosen.metadata_dir, chosen.root)
    elif chosen.step == "refresh":
        commands.refresh(chosen.metadata_dir, chosen.metadata_url)
    else:
        commands.download(
            chosen.metadata_dir,
            chosen.metadata_url,
            chosen.target_name,
            chosen.target_base_url,
            chosen.target_dir or Path(),
        )
    return 0


def _status(chosen: argparse.Namespace) -> int:
    import msgspec

    from lamplighter_agent.app.status import describe, read_status
    from lamplighter_agent.store.identity import load_identity

    data = DataDir.choose(chosen.data_dir)
    status = read_status(data.status)
    if status is None:
        device = load_identity(data.identity).enrolment.device
        sys.stderr.write(f"{device} is enrolled but its agent has never run here.\n")
        return 1
    text = msgspec.json.encode(status).decode() if chosen.json else describe(status)
    sys.stdout.write(text + "\n")
    return 0 if status.running else 1


def _provenance(chosen: argparse.Namespace) -> int:
    from lamplighter_agent.app.provenance import collect
    from lamplighter_protocol.provenance import encode_provenance

    raw = encode_provenance(collect(DataDir.choose(chosen.data_dir)))
    if chosen.export is None:
        sys.stdout.buffer.write(raw + b"\n")
    else:
        chosen.export.write_bytes(raw)
    return 0
