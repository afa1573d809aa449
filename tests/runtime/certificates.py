"""A certificate authority of the tests' own, and a certificate of it for this machine."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Files: the authority's certificate, and key and certificate of 127.0.0.1."""

    authority: Path
    key: Path
    certificate: Path


def made(directory: Path) -> Certificates:
    root, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    authority = _signed(root, "the tests' authority", root, "the tests' authority")
    mine = _signed(own, "127.0.0.1", root, "the tests' authority")
    found = Certificates(*(directory / name for name in ("ca.pem", "key.pem", "cert.pem")))
    found.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    found.certificate.write_bytes(mine.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found


def _signed(
    key: EllipticCurvePrivateKey, name: str, by: EllipticCurvePrivateKey, issuer: str
) -> x509.Certificate:
    now, is_authority = datetime.now(UTC), key is by
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=is_authority, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False),
    ]
    if is_authority:
        uses = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "encipher_only", "decipher_only"), False
        )  # fmt: skip
        extensions.append((x509.KeyUsage(key_cert_sign=True, crl_sign=True, **uses), True))
    else:
        address = x509.IPAddress(ipaddress.ip_address(name))
        extensions.append((x509.SubjectAlternativeName([address]), False))
    builder = x509.CertificateBuilder(
        _name(issuer),
        _name(name),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(minutes=5),
        now + timedelta(days=1),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
