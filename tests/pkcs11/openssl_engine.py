# SPDX-License-Identifier: Apache-2.0
"""The module in OpenSSL 3.0 by the engine of libp11, as Debian 12 has both: what programs are told of it."""

from pathlib import Path

from framework.pkcs11_guest import MODULE, Pkcs11Guest

ENGINE = Path("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
CONFIGURATION = f"""\
openssl_conf = settings
[settings]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = {MODULE}
init = 0
[req]
distinguished_name = name
[name]
"""


def key_uri(label: str) -> str:
    """How a private key is named."""
    return f"pkcs11:object={label};type=private"


def certificate_words(label: str, name: str, made: Path) -> list[str]:
    """The command that makes a certificate which the key signs itself."""
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2")
    key = ("-engine", "pkcs11", "-keyform", "engine", "-key", key_uri(label))
    return ["openssl", "req", "-x509", "-new", *key, *subject, "-out", str(made)]


class EngineGuest:
    """Commands of openssl, with keys of one guest.

    Its keys are of EC and RSA: the engine of libp11 0.4.12 gives up at the first key of a type that it does not know.
    """

    def __init__(self, socket: Path, folder: Path) -> None:
        self.guest = Pkcs11Guest(socket)
        self.folder = folder
        self.configuration = folder / "openssl.cnf"
        self.configuration.write_text(CONFIGURATION)

    @property
    def variables(self) -> dict[str, str]:
        """The environment that has programs find engine and module."""
        return {"OPENSSL_CONF": str(self.configuration)}

    def openssl(self, command: str, *arguments: str, data: bytes = b"") -> bytes:
        """Run a command of openssl that uses a key; what it printed.

        Raises:
            AssertionError: it failed.
        """
        words = ("openssl", command, "-engine", "pkcs11", *arguments)
        return self.guest.use(*words, data=data, variables=self.variables).stdout

    def certificate(self, label: str, name: str = "localhost") -> Path:
        """Make a certificate that the key signs itself; the file."""
        made = self.folder / f"{label}.pem"
        self.guest.use(*certificate_words(label, name, made), variables=self.variables)
        return made
