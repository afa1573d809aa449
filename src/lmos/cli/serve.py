"""`lmos serve`."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from lmos.arc.serving import Settings
    from lmos.arc.serving.settings import AnyAgent
    from lmos.protocols.auth import Auth
    from lmos.protocols.tokens import Tokens

#: Options that the process with the socket keeps to itself when it serves by another one.
_OWN = ("targets", "host", "port", "fd", "reload", "stdio")


@click.command(epilog="Example: lmos serve agents.billing.agent:billing --port 8000 --reload")
@click.argument("targets", metavar="MODULE[:AGENT]...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option("--fd", type=int, help="Serve on this inherited listening socket instead.")
@click.option("--reload", is_flag=True, help="Load again what changes below this directory.")
@click.option("--grpc", metavar="[HOST:]PORT", help="Serve A2A over gRPC as well.")
@click.option(
    "--api-key-env",
    metavar="NAME",
    multiple=True,
    help="Variable with keys that open it.",
)
@click.option("--jwt-secret-env", metavar="NAME", help="Variable with tokens' secret (HS256).")
@click.option(
    "--jwt-public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the key that tokens are signed for.",
)
@click.option("--jwks-url", metavar="URL", help="Where the key set of tokens is.")
@click.option("--jwt-issuer", metavar="NAME", help="Who must have issued a token.")
@click.option("--jwt-audience", metavar="NAME", multiple=True, help="For whom tokens must be.")
@click.option("--jwt-scope", metavar="NAME", multiple=True, help="What tokens must allow.")
@click.option(
    "--user-claim",
    default="sub",
    show_default=True,
    help="Claim with the user's id; '' for none.",
)
@click.option(
    "--trust-runtime",
    metavar="URL",
    envvar="LMOS_TRUST_RUNTIME",
    help="Let only this runtime ask, and believe what it states of users.",
)
@click.option("--cors-origin", metavar="ORIGIN", multiple=True, help="Page that may ask, or *.")
@click.option("--stdio", is_flag=True, help="Serve MCP on standard streams instead.")
@click.option("--dev", is_flag=True, help="Open tools, events and the check of use cases to all.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    host: str,
    port: int,
    fd: int | None,
    reload: bool,
    stdio: bool,
    **options: Any,
) -> None:
    """Serve agents over A2A, OpenAI and what else is installed. AGENT may be left out where the
    module has one.
    """
    from lmos.model import LmosError

    try:
        if stdio:
            from lmos.arc import mcp_serving

            mcp_serving.stdio(*(load(target) for target in targets))
            return
        if reload:
            _serve_reloading(ctx, targets, host, port)
            return
        from lmos.arc.serving import serve

        agents = [load(target) for target in targets]
        fd = _listening(host, port) if fd is None else fd
        serve(agents, host, port, fd, settings([a.name for a in agents], **options))
    except LmosError as error:
        click.echo(error.message, err=True)
        sys.exit(1)


def _listening(host: str, port: int) -> int:
    """A listening socket's number; `InvalidInput` where the address is taken."""
    from lmos.local.server import claim

    return claim(host, port).detach()


def _serve_reloading(ctx: click.Context, targets: Sequence[str], host: str, port: int) -> None:
    from lmos.local.reloading import run

    run([*targets, *_given(ctx)], name=", ".join(targets), host=host, port=port)


def _given(ctx: click.Context) -> list[str]:
    """The options of the command line that the serving process needs, as they were given."""
    found: list[str] = []
    for param in ctx.command.params:
        name = param.name or ""
        if name in _OWN or ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        if getattr(param, "is_flag", False):
            found.append(param.opts[0])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            found += [param.opts[0], str(one)]
    return found


# --- settings -------------------------------------------------------------------------------------


def settings(
    names: Sequence[str] = (),
    *,
    grpc: str | None = None,
    api_key_env: Sequence[str] = (),
    cors_origin: Sequence[str] = (),
    user_claim: str = "sub",
    dev: bool = False,
    trust_runtime: str | None = None,
    **tokens: Any,
) -> "Settings":
    """How to serve the agents of these names, from the options. `InvalidInput` names the option
    that cannot be used.
    """
    from lmos.arc.serving import Cors, Settings, trusting
    from lmos.model.errors import InvalidInput

    if trust_runtime:
        auth: Auth | None = trusting(trust_runtime, *names, issuer=tokens.pop("jwt_issuer", None))
        if api_key_env or any(tokens.values()):
            raise InvalidInput("--trust-runtime lets nobody else in; leave keys and --jwt- out")
    else:
        auth = _auth(api_key_env, user_claim, tokens)
    address = grpc if not grpc or ":" in grpc else f"127.0.0.1:{grpc}"
    return Settings(
        auth=auth,
        cors=Cors(origins=tuple(cors_origin)) if cors_origin else None,
        grpc=address or "",
        dev=dev,
    )


def _auth(names: Sequence[str], user_claim: str, options: dict[str, Any]) -> "Auth | None":
    from lmos.protocols.auth import Auth

    keys = [key.strip() for name in names for key in _variable(name).split(",") if key.strip()]
    tokens = _tokens(**options)
    return Auth(keys=keys, tokens=tokens, user_claim=user_claim) if keys or tokens else None


def _tokens(
    jwt_secret_env: str | None,
    jwt_public_key: Path | None,
    jwks_url: str | None,
    jwt_issuer: str | None,
    jwt_audience: Sequence[str],
    jwt_scope: Sequence[str],
) -> "Tokens | None":
    from lmos.model.errors import InvalidInput
    from lmos.protocols.tokens import Tokens

    if not (jwt_secret_env or jwt_public_key or jwks_url):
        if jwt_issuer or jwt_audience or jwt_scope:
            raise InvalidInput(
                "--jwt-issuer, --jwt-audience and --jwt-scope need keys to check tokens with: "
                "--jwt-secret-env, --jwt-public-key or --jwks-url"
            )
        return None
    return Tokens(
        secret=_variable(jwt_secret_env) if jwt_secret_env else "",
        public_key=jwt_public_key.read_text() if jwt_public_key else "",
        jwks_url=jwks_url or "",
        issuer=jwt_issuer or "",
        audience=jwt_audience,
        scopes=jwt_scope,
    )


def _variable(name: str) -> str:
    """What the environment variable holds; an empty one must not open the door to everybody."""
    from lmos.model.errors import InvalidInput

    value = os.environ.get(name, "").strip()
    if not value:
        raise InvalidInput(f"the environment variable {name} is empty or not set")
    return value


# --- agents ---------------------------------------------------------------------------------------


def load(target: str) -> "AnyAgent":
    """The agent that `module:name` means. Raises `InvalidInput` with `file:line: message` when the
    module cannot be imported.
    """
    from lmos.arc import Agent
    from lmos.arc.team import Party
    from lmos.model.errors import InvalidInput

    module_name, _, name = target.partition(":")
    if module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise InvalidInput(f"{module_name} is a file; name its module: {dotted}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        raise InvalidInput(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        raise InvalidInput(f"{_place(error)}{type(error).__name__}: {error}") from error
    found = {k: v for k, v in vars(module).items() if isinstance(v, (Agent, Party))}
    if name:
        if name not in found:
            raise InvalidInput(
                f"{_file(module)}: there is no agent {name!r}; there is {_list(found)}"
            )
        return found[name]
    if len(set(map(id, found.values()))) != 1:
        raise InvalidInput(
            f"{_file(module)}: name one agent as {module_name}:NAME; there is {_list(found)}"
        )
    return next(iter(found.values()))


def _place(error: BaseException) -> str:
    """The last line of the project's own code that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path.cwd())
    own = [f for f in frames if f.filename.startswith(here) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _file(module: ModuleType) -> str:
    return module.__file__ or module.__name__


def _list(found: "dict[str, AnyAgent]") -> str:
    return ", ".join(found) or "none"
