"""`lmos key`."""

import hashlib
import secrets

import click


@click.command(epilog="Example: lmos key acme --name web-2026")
@click.argument("tenant")
@click.option("--name", default="", help="What tells this key from others of the tenant.")
def command(tenant: str, name: str) -> None:
    """Make an API key for a tenant: the key for the application, its hash for the Tenant manifest.

    The key is shown once and kept nowhere.
    """
    key = f"lmos_{secrets.token_urlsafe(32)}"
    click.echo(key)
    digest = hashlib.sha256(key.encode()).hexdigest()
    click.echo(_manifest(tenant, name, digest), err=True)


def _manifest(tenant: str, name: str, digest: str) -> str:
    named = f"name: {name}, " if name else ""
    return f"""\
apiVersion: lmos.eclipse/v1
kind: Tenant
metadata: {{name: {tenant}}}
spec:
  keys:
    - {{{named}sha256: {digest}}}"""
