"""Real tokens without hardware: SoftHSM2."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pkcs11
from pkcs11.util.ec import encode_named_curve_parameters

PIN: Final = "4711-token"
_MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
MODULE: Final = next((path for path in _MODULES if Path(path).exists()), _MODULES[0])


class SoftHsm:
    """A reader with tokens in a folder of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._tokens = folder / "tokens"
        self._tokens.mkdir(parents=True)
        self.config = folder / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self._tokens}\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.write_pin(PIN)

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(f"{pin}\n")
        self.pin_file.chmod(0o600)

    def add_token(self, label: str = "lamplighter") -> None:
        subprocess.run(
            [
                *(self._program, "--init-token", "--free", "--label", label),
                *("--so-pin", "0000", "--pin", PIN),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def unplug(self) -> None:
        self._tokens.rename(self._tokens.with_name("in a pocket"))
        self._tokens.mkdir()

    def plug(self) -> None:
        self._tokens.rmdir()
        self._tokens.with_name("in a pocket").rename(self._tokens)

    def uri(self, **changed: str) -> str:
        token, key = changed.get("token", "lamplighter"), changed.get("key", "device")
        module, pin_file = changed.get("module", MODULE), changed.get("pin_file", self.pin_file)
        return f"pkcs11:token={token};object={key}?module-path={module}&pin-source=file:{pin_file}"

    @contextmanager
    def session(self) -> Iterator[pkcs11.Session]:
        """Log in within this process."""
        token = pkcs11.lib(MODULE).get_token(token_label="lamplighter")
        try:
            with token.open(user_pin=PIN, rw=True) as session:
                yield session
        finally:
            self.close()

    def close(self) -> None:
        """As at the end of a process: the next use in this one looks at the tokens anew."""
        pkcs11.lib(MODULE).finalize()

    def make_key(
        self,
        label: str = "device",
        *,
        curve: str = "secp256r1",
        number: int | None = None,
        extractable: bool = False,
    ) -> None:
        """An EC key, as somebody makes it by hand."""
        with self.session() as session:
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)},
                local=True,
            )
            parameters.generate_keypair(
                store=True,
                label=label,
                id=None if number is None else pkcs11.util.biginteger(number),
                capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
                private_template={pkcs11.Attribute.EXTRACTABLE: extractable},
            )

    def make_rsa_key(self, label: str = "device") -> None:
        with self.session() as session:
            session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label=label)

    def destroy(self, label: str, *kinds: pkcs11.ObjectClass) -> None:
        with self.session() as session:
            for kind in kinds:
                session.get_key(kind, label=label).destroy()
