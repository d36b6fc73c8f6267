"""`lamplighter user ...`, `lamplighter token ...` and `lamplighter login`."""

import os
from typing import Annotated, Any, Final

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import read_label
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table
from lamplighter_server.people.access import Role

user_app = typer.Typer(no_args_is_help=True, help="People, their roles and passwords.")
token_app = typer.Typer(no_args_is_help=True, help="API tokens, for programs.")

PASSWORD_VARIABLE: Final = "LAMPLIGHTER_PASSWORD"  # noqa: S105 - a name, no secret
_USERS: Final = "/api/v1/users"
_TOKENS: Final = "/api/v1/tokens"

Name = Annotated[str, typer.Argument(help="The user's name.")]
RoleOption = Annotated[Role, typer.Option(help="Each role includes those before it.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only devices with this label: --label site=harbour."),
]


def _ask_password(*, new: bool) -> str:
    """From the environment, or from the terminal without an echo."""
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        return given
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=new, err=True)
    return answer


def _read_labels(labels: list[str] | None) -> dict[str, str]:
    return dict(read_label(text) for text in labels or [])


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "all devices"


def _show_user(user: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(user)
        return
    print_facts(
        [
            ("user", user["name"]),
            ("role", user["role"]),
            ("scope", _labels(user["labels"])),
            ("password", "set" if user["has_password"] else "none"),
            ("single sign-on", user["subject"]),
            ("created", user["created_utc"]),
            ("signed in", user["signed_in_utc"]),
            ("disabled", user["disabled_utc"]),
        ]
    )


@user_app.command()
def add(
    context: typer.Context,
    name: Name,
    role: RoleOption = Role.VIEWER,
    label: Labels = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only single sign-on lets them in.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a person; asks for the password unless LAMPLIGHTER_PASSWORD holds it.

    Example: lamplighter user add anna --role operator --label site=harbour
    """
    body = {
        "name": name,
        "role": role,
        "labels": _read_labels(label),
        "password": None if no_password else _ask_password(new=True),
    }
    with connect(context) as api:
        _show_user(api.post(_USERS, body), as_json=as_json)


@user_app.command()
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List everybody.

    Example: lamplighter user ls --json
    """
    with connect(context) as api:
        users = api.get(_USERS)
    if as_json:
        print_json(users)
        return
    print_table(
        ("User", "Role", "Scope", "Signed in", "Disabled"),
        [
            (u["name"], u["role"], _labels(u["labels"]), u["signed_in_utc"], u["disabled_utc"])
            for u in users
        ],
    )


@user_app.command()
def show(context: typer.Context, name: Name, as_json: JsonOption = False) -> None:
    """Show one person.

    Example: lamplighter user show anna
    """
    with connect(context) as api:
        _show_user(api.get(f"{_USERS}/{name}"), as_json=as_json)


@user_app.command()
def disable(context: typer.Context, name: Name, as_json: JsonOption = False) -> None:
    """Shut a person out: sessions and tokens end at once.

    Example: lamplighter user disable anna
    """
    with connect(context) as api:
        _show_user(api.post(f"{_USERS}/{name}/disable", {}), as_json=as_json)


@user_app.command()
def enable(context: typer.Context, name: Name, as_json: JsonOption = False) -> None:
    """Let a person in again; tokens that were not revoked count again.

    Example: lamplighter user enable anna
    """
    with connect(context) as api:
        _show_user(api.post(f"{_USERS}/{name}/enable", {}), as_json=as_json)


@user_app.command()
def password(context: typer.Context, name: Name, as_json: JsonOption = False) -> None:
    """Set a person's password; their sessions end.

    Example: lamplighter user password anna
    """
    body = {"password": _ask_password(new=True)}
    with connect(context) as api:
        _show_user(api.post(f"{_USERS}/{name}/password", body), as_json=as_json)


@user_app.command()
def role(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Argument(help="Each role includes those before it.")],
    label: Labels = None,
    as_json: JsonOption = False,
) -> None:
    """Give a person another role and scope, from their next request on.

    Example: lamplighter user role anna approver
    """
    body = {"role": role, "labels": _read_labels(label)}
    with connect(context) as api:
        _show_user(api.post(f"{_USERS}/{name}/role", body), as_json=as_json)


@user_app.command()
def identity(
    context: typer.Context,
    name: Name,
    subject: Annotated[str, typer.Argument(help="What the provider calls this person (sub).")],
    as_json: JsonOption = False,
) -> None:
    """Say who a person is at the single sign-on provider.

    Example: lamplighter user identity anna 248289761001
    """
    with connect(context) as api:
        _show_user(api.post(f"{_USERS}/{name}/identity", {"subject": subject}), as_json=as_json)


@token_app.command("create")
def create_token(
    context: typer.Context,
    purpose: Annotated[str, typer.Argument(help="What it is for, as in 'nightly reports'.")],
    role: RoleOption = Role.VIEWER,
    label: Labels = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days until it expires.")] = 90,
    user: Annotated[
        str | None, typer.Option(help="Sign in as this user, with a password, to make it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API token that may do no more than its maker; it is shown this once.

    Example: lamplighter token create "nightly reports" --user anna --days 30
    """
    body = {"purpose": purpose, "role": role, "labels": _read_labels(label), "days": days}
    with connect(context) as api:
        if user is None:
            made = api.post(_TOKENS, body)
        else:
            sign_in = {"name": user, "password": _ask_password(new=False)}
            made = api.post("/api/v1/sign-in", body | sign_in)
    if as_json:
        print_json(made)
        return
    typer.echo(f"Token {made['id']} of {made['user']}, until {made['expires_utc']}:", err=True)
    typer.echo(made["token"])


@token_app.command("ls")
def ls_tokens(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the tokens that you may see; never their secrets.

    Example: lamplighter token ls --json
    """
    with connect(context) as api:
        tokens = api.get(_TOKENS)
    if as_json:
        print_json(tokens)
        return
    print_table(
        ("Token", "User", "Purpose", "Role", "Limits", "Expires", "Last used", "Revoked"),
        [
            (
                t["id"],
                t["user"],
                t["purpose"],
                t["role"],
                _labels(t["labels"]),
                t["expires_utc"],
                t["used_utc"],
                t["revoked_utc"],
            )
            for t in tokens
        ],
    )


@token_app.command("revoke")
def revoke_token(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The id: what stands after lamp_.")],
) -> None:
    """End a token at once.

    Example: lamplighter token revoke 4f1d0c9a7b23
    """
    with connect(context) as api:
        ended = api.post(f"{_TOKENS}/{token}/revoke", {})
    typer.echo(f"Token {ended['id']} of {ended['user']} has ended.")


def login(context: typer.Context) -> None:
    """Print a link that signs a browser in, once, as the admin of this machine's data folder.

    Example: lamplighter login
    """
    with connect(context) as api:
        typer.echo(api.post("/api/v1/sign-in-links", {})["url"])
