"""Tokens of an OpenID provider: by device code (RFC 8628), or renewed. The protocol is authlib's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests import ConnectionError, RequestException, Timeout
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay

from infra.cli.failure import Failure

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
SECONDS: Final = 10.0
"""For one answer of the provider."""
SKEW: Final = 60
"""Seconds by which the provider's clock may be ahead of this host's, or behind."""
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"]
"""As Kubernetes takes them."""
_INTERVAL: Final = 5
"""Seconds between two questions where the provider names none (RFC 8628, 3.2)."""


@dataclass(frozen=True)
class Provider:
    """Where people log in, and as which client. ``authority`` is a file of certificates, None: the host's."""

    issuer: str
    client: str
    scopes: tuple[str, ...]
    authority: Path | None = None


@dataclass(frozen=True)
class Code:
    """What a person must do: open ``uri`` and see to it that it shows ``user``. Times in seconds."""

    user: str
    uri: str
    device: str
    interval: float
    lasts: float


@dataclass(frozen=True)
class Tokens:
    """The API server takes ``identity`` until ``expires``; ``renewal`` "" where it cannot be renewed."""

    identity: str
    renewal: str
    expires: datetime


def begin(provider: Provider) -> Code:
    """Ask for a code. Raises Failure."""
    with _session(provider) as (session, endpoints):
        endpoint = endpoints.get("device_authorization_endpoint")
        if not endpoint:
            raise Failure(
                f"{provider.issuer} knows no login by device code", "ask who runs it to switch it on"
            )
        form = {"client_id": provider.client, "scope": " ".join(provider.scopes)}
        answer = session.request("POST", endpoint, data=form, withhold_token=True, timeout=SECONDS)
        told = answer.json()
        if "device_code" not in told:
            raise Failure(f"{provider.issuer} gives no code: {_said(told) or answer.status_code}")
    return Code(
        user=told["user_code"],
        uri=told.get("verification_uri_complete") or told["verification_uri"],
        device=told["device_code"],
        interval=float(told.get("interval", _INTERVAL)),
        lasts=float(told["expires_in"]),
    )


def fault(provider: Provider) -> str:
    """Why nobody can log in; empty where somebody can."""
    try:
        with _session(provider) as (session, endpoints):
            if "device_authorization_endpoint" not in endpoints:
                return f"{provider.issuer} knows no login by device code"
            answer = session.request("GET", endpoints["jwks_uri"], withhold_token=True, timeout=SECONDS)
            KeySet.import_key_set(answer.json())
    except Failure as error:
        return error.message
    except (KeyError, ValueError) as error:
        return f"{provider.issuer} does not say how it signs tokens: {error!r}"
    return ""


def wait(provider: Provider, code: Code) -> Tokens:
    """Ask until the person has logged in. Raises Failure when they refuse, or the code's time is over."""
    with _session(provider) as (session, endpoints):
        again = Retrying(
            retry=retry_if_exception(_is_for_later),
            wait=_paced(code.interval),
            stop=stop_after_delay(code.lasts),
            reraise=True,
        )
        told = again(
            session.fetch_token,
            endpoints["token_endpoint"],
            grant_type=DEVICE_CODE,
            device_code=code.device,
            client_id=provider.client,
            timeout=SECONDS,
        )
        return _tokens(provider, session, endpoints, told, "")


def renew(provider: Provider, renewal: str) -> Tokens:
    """Tokens in place of those that expire. Raises Failure when the person must log in anew."""
    with _session(provider) as (session, endpoints):
        told = session.refresh_token(
            endpoints["token_endpoint"], refresh_token=renewal, client_id=provider.client, timeout=SECONDS
        )
        return _tokens(provider, session, endpoints, told, renewal)


def _tokens(
    provider: Provider, session: OAuth2Session, endpoints: dict[str, Any], told: dict[str, Any], kept: str
) -> Tokens:
    """As the provider signed it. The API server judges for itself; here it is read until when it is good."""
    if "id_token" not in told:
        raise Failure(
            f"{provider.issuer} gave no token of a person", "site:authentication.scopes needs openid"
        )
    keys = KeySet.import_key_set(
        session.request("GET", endpoints["jwks_uri"], withhold_token=True, timeout=SECONDS).json()
    )
    claims = jwt.decode(told["id_token"], keys, algorithms=_ALGORITHMS).claims
    rules = jwt.JWTClaimsRegistry(
        leeway=SKEW,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client},
        exp={"essential": True},
    )
    rules.validate(claims)
    return Tokens(
        told["id_token"], told.get("refresh_token") or kept, datetime.fromtimestamp(claims["exp"], UTC)
    )


@contextmanager
def _session(provider: Provider) -> Iterator[tuple[OAuth2Session, dict[str, Any]]]:
    """A connection, and the provider's endpoints; what goes wrong on it is one message."""
    session = OAuth2Session(provider.client, token_endpoint_auth_method="none")  # noqa: S106 (a method)
    if provider.authority is not None:
        # Else $REQUESTS_CA_BUNDLE goes before it, and an issuer of one's own is behind nobody's proxy.
        session.trust_env, session.verify = False, str(provider.authority)
    try:
        address = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        answer = session.request("GET", address, withhold_token=True, timeout=SECONDS)
        answer.raise_for_status()
        endpoints = answer.json()
        if endpoints.get("issuer") != provider.issuer:
            raise Failure(
                f"{provider.issuer} calls itself {endpoints.get('issuer')}",
                "site:authentication.issuer must be written in the same way",
            )
        yield session, endpoints
    except OAuthError as error:
        raise Failure(
            _PLAIN.get(error.error) or f"{provider.issuer} refuses: {error}", "antenna login"
        ) from error
    except RequestException as error:
        raise Failure(f"{provider.issuer} does not answer: {error}", "antenna doctor") from error
    except JoseError as error:
        raise Failure(f"{provider.issuer} gave a token that is not good: {error}") from error
    finally:
        session.close()


_UNREACHED: Final = (ConnectionError, Timeout)
_PLAIN: Final = {
    "access_denied": "the login was refused",
    "expired_token": "nobody logged in before the code expired",
    "authorization_pending": "nobody logged in before the code expired",
    "invalid_grant": "the login has ended",
}


def _is_for_later(error: BaseException) -> bool:
    """Whether the person may have logged in yet when it is asked again (RFC 8628, 3.5)."""
    return isinstance(error, _UNREACHED) or _word(error) in ("authorization_pending", "slow_down")


def _word(error: BaseException) -> str:
    return str(error.error) if isinstance(error, OAuthError) else ""


def _paced(interval: float) -> Callable[[RetryCallState], float]:
    """Five seconds more between questions each time that the provider says so, or is not reached."""
    slower = 0.0

    def pace(state: RetryCallState) -> float:
        nonlocal slower
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _UNREACHED) or (error is not None and _word(error) == "slow_down"):
            slower += 5.0
        return interval + slower

    return pace


def _said(told: dict[str, Any]) -> str:
    return str(told.get("error_description") or told.get("error") or "")
