"""Which key speaks for a device, as its certificate says (ADR 16).

A device whose key is on a token connects with another one, because TLS cannot use the token. Its
certificate is for that key, and names the device's own in its subject alternative names.
"""

from typing import Final

from cryptography import x509

from lamplighter_protocol import dsse

_PREFIX: Final = "urn:lamplighter:device-key:"


def name_of_key(key: dsse.PublicKey) -> x509.UniformResourceIdentifier:
    """How a certificate for another key names the device's own."""
    return x509.UniformResourceIdentifier(_PREFIX + dsse.key_id(key))


def speaks_for(certificate: x509.Certificate, key: dsse.PublicKey) -> bool:
    """Whether statements signed with `key` are those of the certificate's device.

    The key of TLS does not count where another one is named: it lies in a file that a thief has.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    named = [uri for uri in uris if uri.startswith(_PREFIX)]
    if named:
        return named == [name_of_key(key).value]
    return certificate.public_key() == key
