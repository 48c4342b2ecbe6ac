"""`antenna token`: the token of who is logged in, in the form in which kubectl asks for it."""

from __future__ import annotations

import json

import click

from infra.cli.people import kept_login
from infra.cli.session import Session, Verb, epilog, options


@click.command(cls=Verb, epilog=epilog("antenna token | jq -r .status.expirationTimestamp"))
@options("stack")
@click.pass_obj
def token(session: Session) -> None:
    """Print the token of who is logged in, for kubectl.

    The kubeconfig of `antenna login` names this command. A token that is about to expire is renewed first.
    """
    session.begin("token")
    identity, expires = kept_login.token(session.stack)
    status = {"token": identity, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    click.echo(json.dumps(credential))
