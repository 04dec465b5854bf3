"""Who may write what: tokens, and keyless ones that a workflow's identity is exchanged for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from training.local_hub.reading import find_repository
from training.local_hub.storage import HubError

TRUSTING = "local"  # whose repositories have a Trusted Publisher
WORKFLOW, IDENTITY = "workflow", "identity-for-"  # what a workflow shows, and is given to show


@dataclass(frozen=True)
class Token:
    """What a token stands for.

    Attributes:
        user: Whose it is; it writes in this namespace alone.
        writes: The repositories it may write, "model ns/name"; None for all, and new ones.
    """

    user: str
    writes: frozenset[str] | None = None


def bearer(request: Request) -> Token:
    """Return the token a request carries.

    Raises:
        HubError: If it carries none, or one that nobody was given.
    """
    secret = request.headers.get("Authorization", "").removeprefix("Bearer ")
    tokens: dict[str, Token] = request.app.state.tokens
    if secret not in tokens:
        raise HubError(401, "Unauthorized", "Invalid credentials in Authorization header")
    return tokens[secret]


def require_write(request: Request) -> None:
    """Raise HubError unless the request may write the repository that its path names."""
    token, repository = bearer(request), find_repository(request)
    named = f"{repository.kind} {repository.id}"
    own = repository.id.startswith(f"{token.user}/")
    if not own or (token.writes is not None and named not in token.writes):
        raise HubError(403, "Forbidden", f"This token may not write the {named}.")


def require_creation(request: Request) -> str:
    """Return the user, or raise HubError unless the request may create repositories."""
    token = bearer(request)
    if token.writes is not None:
        raise HubError(401, "Unauthorized", "This token has no scope to create repositories.")
    return token.user


def whoami(request: Request) -> Response:
    """Say whose token it is."""
    token = bearer(request)
    role = "write" if token.writes is None else "fineGrained" if token.writes else "read"
    auth = {"type": "access_token", "accessToken": {"displayName": "local_hub", "role": role}}
    return JSONResponse({"type": "user", "name": token.user, "orgs": [], "auth": auth})


def identify(request: Request) -> Response:
    """Play the part of GitHub Actions: say which workflow asks, signed by nobody."""
    if request.headers.get("Authorization") != f"Bearer {WORKFLOW}":
        raise HubError(401, "Unauthorized", "This is no workflow's request token.")
    return JSONResponse({"value": f"{IDENTITY}{request.query_params['audience']}"})


async def exchange(request: Request) -> Response:
    """Exchange a workflow's identity for a token that writes one repository of TRUSTING's."""
    wanted = await request.json()
    id = wanted["resource"].removeprefix("spaces/")
    kind = "model" if id == wanted["resource"] else "space"
    if wanted["subject_token"] != f"{IDENTITY}{str(request.base_url).rstrip('/')}":
        raise HubError(401, "Unauthorized", "This is no identity for here.")
    if not id.startswith(f"{TRUSTING}/"):
        raise HubError(403, "Forbidden", f"{id} trusts no workflow: add a Trusted Publisher.")
    secret = f"hf_jwt_{secrets.token_hex(16)}"
    request.app.state.tokens[secret] = Token(TRUSTING, frozenset({f"{kind} {id}"}))
    answer = {"access_token": secret, "token_type": "bearer", "expires_in": 3600}
    return JSONResponse(answer)


ROUTES = [
    Route("/api/whoami-v2", whoami),
    Route("/_actions/identity", identify),
    Route("/oauth/token", exchange, methods=["POST"]),
]
