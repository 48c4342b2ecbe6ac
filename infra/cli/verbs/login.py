"""`antenna login`: a person of a partner logs in by a code in the browser, and gets a kubeconfig."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from infra import paths
from infra.authentication import issuer
from infra.cli.failure import Failure, WrongInput
from infra.cli.people import kept_login
from infra.cli.session import Session, Verb, epilog, options
from infra.site import Site
from operators.kube import client
from operators.tenancy import namespace_name

if TYPE_CHECKING:
    from infra.cli.people.oidc import Provider


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna login",
        "antenna login --tenant ugent          as a person of two partners",
        "antenna login --server https://head.example.org:6443 --certificate-authority ca.crt",
    ),
)
@click.option("--tenant", metavar="NAME", help="For which partner; needed by who belongs to several.")
@click.option("--server", metavar="URL", help="The API server. Default: that of the site's own kubeconfig.")
@click.option(
    "--certificate-authority",
    "authority",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Who vouches for the API server. Default: that of the site's own kubeconfig.",
)
@click.option(
    "--issuer-authority",
    "vouching",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Who vouches for a built-in issuer. Default: whom `antenna up` made on this host.",
)
@options("stack", "config-file", "json")
@click.pass_obj
def login(
    session: Session,
    *,
    tenant: str | None,
    server: str | None,
    authority: Path | None,
    vouching: Path | None,
) -> None:
    """Log in as a person of a partner, by a code in the browser.

    A kubeconfig is written that nobody else can read; from then on submit, why, logs and budget have the
    rights of this person and no others. `antenna logout` ends that.
    """
    from infra.cli.people import oidc  # noqa: PLC0415 (what it brings takes half a second)

    screen = session.begin("login")
    site = session.site()
    cluster = _cluster(session.stack, server, authority)
    provider = _provider(site, session.stack, vouching)
    code = oidc.begin(provider)
    screen.say(f"open  {code.uri}")
    screen.say(f"and log in there if it shows the code {code.user}")
    tokens = oidc.wait(provider, code)
    try:
        kept_login.write(session.stack, provider, tokens)
        user, groups = _who(session.stack, cluster)
        chosen = _tenant(site, user, groups, tenant)
        path = kept_login.write_kubeconfig(session.stack, cluster, user, namespace_name(chosen))
    except BaseException:
        # A kubeconfig of half a login would be everybody's from here on, in the administrator's place too.
        kept_login.forget(session.stack)
        raise
    if session.json:
        told = {
            "user": user,
            "tenant": chosen,
            "kubeconfig": str(path),
            "expires": tokens.expires.isoformat(),
        }
        click.echo(json.dumps({"stack": session.stack, **told, "renewable": bool(tokens.renewal)}))
        return
    screen.say(f"you are {user}, of {chosen}, {_until(tokens.expires, bool(tokens.renewal))}")
    screen.say(f"next:  antenna submit SCRIPT ...   or   export KUBECONFIG={path}")


def _until(expires: datetime, renewable: bool) -> str:
    at = expires.astimezone().strftime("%H:%M on %d %B")
    return f"with a token until {at}, which is renewed by itself" if renewable else f"until {at}"


def _provider(site: Site, stack: str, vouching: Path | None) -> Provider:
    from infra.cli.people.oidc import Provider  # noqa: PLC0415 (see above)

    stated = site.authentication
    if stated is None:
        raise WrongInput("nobody can log in: the site names no issuer", "add site:authentication to its file")
    certificates = stated.certificate_authority
    if stated.built_in:
        certificates = _vouching(vouching or paths.issuer_dir(stack) / "ca.crt")
    return Provider(
        issuer(site), stated.audience, stated.scopes, kept_login.keep_authority(stack, certificates or "")
    )


def _vouching(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        raise WrongInput(
            f"nobody vouches for the site's own issuer here: there is no {path}",
            "give --issuer-authority; who runs the site has it",
        ) from None


def _cluster(stack: str, server: str | None, authority: Path | None) -> kept_login.Cluster:
    """As the options say, else as the site's own kubeconfig does. Raises WrongInput where neither does."""
    if server and authority:
        return kept_login.Cluster(server, authority.read_text())
    try:
        document = yaml.safe_load(paths.kubeconfig(stack).read_text())
    except OSError:
        raise WrongInput(
            "it is not known here where the API server is",
            "give --server and --certificate-authority; who runs the site knows both",
        ) from None
    known = document["clusters"][0]["cluster"]
    if "certificate-authority-data" in known:
        certificates = base64.b64decode(known["certificate-authority-data"]).decode()
    else:
        certificates = Path(known["certificate-authority"]).read_text()
    return kept_login.Cluster(server or known["server"], authority.read_text() if authority else certificates)


def _who(stack: str, cluster: kept_login.Cluster) -> tuple[str, list[str]]:
    """(user, groups) as the API server knows the one who logged in. Raises Failure where it knows nobody."""
    from operators.kube.errors import ApiError  # noqa: PLC0415 (loaded with the client)

    path = kept_login.write_kubeconfig(stack, cluster, "person", "default")
    api = client.connect(path)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
    try:
        told = api.create(review)["status"]["userInfo"]
    except ApiError as error:
        raise Failure(
            f"the API server does not take the token: {error}",
            "it may have been told of the issuer a minute ago, or not yet: `antenna up`",
        ) from error
    finally:
        api.close()
    return told["username"], told.get("groups") or []


def _tenant(site: Site, user: str, groups: Iterable[str], asked: str | None) -> str:
    """The partner that the person works for. Raises WrongInput where that is not one."""
    prefix = site.authentication.groups.prefix if site.authentication else ""
    held = frozenset(groups)
    theirs = [t.name for t in site.tenants if held & {prefix + group for group in t.groups}]
    if asked is not None and asked not in theirs:
        raise WrongInput(f"{user} is no person of {asked}", f"of: {', '.join(theirs) or 'none'}")
    if not theirs:
        raise WrongInput(
            f"{user} belongs to no partner; groups: {', '.join(sorted(held)) or 'none'}",
            "site:tenants name the groups of each",
        )
    if len(theirs) > 1 and asked is None:
        raise WrongInput(f"{user} belongs to {', '.join(theirs)}", "add --tenant NAME")
    return asked or theirs[0]
