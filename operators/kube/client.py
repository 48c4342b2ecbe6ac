"""The Kubernetes API as this project speaks it: raw JSON in and out; errors as ``errors`` has them.

Connections, TLS and credentials are the ``kubernetes`` client's; its models are not used: they cost
more than the requests do. Objects are plain dicts, as the API server sent them.

``kubernetes`` is imported on the first connection: it takes half a second, and most commands that
import this module never connect.
"""

from __future__ import annotations

import itertools
import json
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from operators.kube.errors import (
    NotFound,
    Silent,
    Unreachable,
    api_error,
    status_of,
    while_contended,
    why,
)

Object = dict[str, Any]

CONNECT_TIMEOUT: Final = 5.0  # seconds
READ_TIMEOUT: Final = 60.0  # seconds
PAGE: Final = 500  # objects
_CONTENDED: Final = 15.0  # seconds in which an object finds its turn to be counted against a quota
_GATHERED: Final = 1 << 20  # bytes of a stream that are handed on together, at most
_CONNECTIONS: Final = 32  # kept open by one process: a watch a resource, and requests beside them

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"

# Both groups of the API in two requests: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
_DISCOVERY: Final = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True)
class Resource:
    """How the server serves a kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]


@dataclass(frozen=True)
class Event:
    """One event of a watch. ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


def connect(kubeconfig: Path, *, context: str | None = None, long_lived: bool = False) -> Cluster:
    """The cluster that a kubeconfig names. Sends nothing yet. Raises Unreachable without a usable file.

    A ``long_lived`` connection notices when its peer is gone, and leaves trying again to its user.
    """
    if not kubeconfig.is_file():
        raise Unreachable(f"there is no kubeconfig {kubeconfig}: bring the cluster up first")
    from kubernetes.config import ConfigException, new_client_from_config  # noqa: PLC0415 (see above)

    try:
        client: Any = new_client_from_config(  # type: ignore[no-untyped-call]
            str(kubeconfig), context, persist_config=False, client_configuration=_configuration(long_lived)
        )
    except ConfigException as error:
        raise Unreachable(f"kubeconfig {kubeconfig} cannot be used: {error}") from error
    return Cluster(client)


def connect_in_cluster() -> Cluster:
    """The cluster that this process is a pod of, as its ServiceAccount. Long-lived.

    The token is read again every minute: it is replaced before it expires. Raises Unreachable outside
    of a pod.
    """
    from kubernetes.client import ApiClient  # noqa: PLC0415 (see above)
    from kubernetes.config import ConfigException, load_incluster_config  # noqa: PLC0415

    configuration = _configuration(long_lived=True)
    try:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise Unreachable(f"this is no pod of a cluster; name a kubeconfig: {error}") from error
    return Cluster(ApiClient(configuration))


def _configuration(long_lived: bool) -> Any:
    from kubernetes.client import Configuration  # noqa: PLC0415 (see above)
    from urllib3 import Retry  # noqa: PLC0415

    # A kept connection that the server has closed meanwhile is worth one more try; a refused one is not.
    retries = Retry(total=0) if long_lived else Retry(connect=0, read=1, redirect=0)
    configuration: Any = Configuration(retries=retries)
    if long_lived:
        configuration.keep_alive = True
        configuration.connection_pool_maxsize = _CONNECTIONS
    return configuration


@dataclass
class Cluster:
    """One API server. Safe to use from several threads."""

    client: Any
    _served: dict[tuple[str, str], Resource] = field(default_factory=dict, repr=False)

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self.client.configuration.host)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    # Kinds

    def resource(self, api_version: str, kind: str) -> Resource:
        """How a kind is served. Asks the server again before it says NotFound: CRDs come and go."""
        known = self._served.get((api_version, kind))
        if known is None:
            self.discover()
            known = self._served.get((api_version, kind))
        if known is None:
            raise NotFound(404, "NotFound", f"{self.server} serves no {kind} of {api_version}")
        return known

    def discover(self) -> list[Resource]:
        """Every kind that the server serves now. A kind of several versions comes once a version."""
        served = [r for path in ("/api", "/apis") for r in _resources(self.request("GET", path))]
        self._served = {(r.api_version, r.kind): r for r in served}
        return served

    # Objects

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object. Raises NotFound."""
        return self.request("GET", self.path(api_version, kind, namespace, name))  # type: ignore[no-any-return]

    def find(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None."""
        try:
            return self.get(api_version, kind, name, namespace)
        except NotFound:
            return None

    def list_objects(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        page: int = PAGE,
    ) -> list[Object]:
        """All objects of a kind, in one namespace or in all, read a page at a time.

        ``labels`` and ``fields`` are selectors in Kubernetes' own syntax. The objects carry
        ``apiVersion`` and ``kind``, which the server leaves out of lists.
        """
        items: list[Object] = []
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(page)}
        path = self.path(api_version, kind, namespace)
        while True:
            answer = self.request("GET", path, query=query)
            items += ({"apiVersion": api_version, "kind": kind, **item} for item in answer["items"])
            more = answer["metadata"].get("continue")
            if not more:
                return items
            query["continue"] = more

    def create(self, obj: Object) -> Object:
        """Make an object. Raises Conflict where there is one of that name."""
        metadata = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"))
        return while_contended(_CONTENDED)(self.request, "POST", path, body=obj)

    def apply(self, obj: Object, *, manager: str, force: bool = True, dry_run: bool = False) -> Object:
        """Server-side apply: the object as it is (or would be) afterwards, other managers' fields kept.

        ``force`` takes fields over that another manager has set; without it, that is a Conflict.
        """
        metadata = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        return while_contended(_CONTENDED)(
            self.request, "PATCH", path, query=query, body=obj, content_type=APPLY
        )

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None,
        patch: Object,
        *,
        content_type: str = MERGE,
        subresource: str = "",
    ) -> Object:
        """Change some fields of an object, or of its status with ``subresource="status"``."""
        path = self.path(api_version, kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, body=patch, content_type=content_type)  # type: ignore[no-any-return]

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str = "",
        propagation: str = "Background",
    ) -> str:
        """Ask for an object's deletion; its finalizers may take their time. Raises NotFound.

        Returns the uid of what was deleted: a later object of that name is another one. With ``uid`` only
        that one is deleted, and another of its name raises Conflict.
        """
        path = self.path(api_version, kind, namespace, name)
        body: Object = {"propagationPolicy": propagation, **({"preconditions": {"uid": uid}} if uid else {})}
        answer = self.request("DELETE", path, body=body)
        return str((answer.get("details") or answer.get("metadata") or {}).get("uid", ""))

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        labels: str = "",
        seconds: int = 300,
    ) -> Iterator[Event]:
        """Events from ``resource_version`` on, until the server ends the watch after ``seconds``.

        Raises Gone where the version is too old: list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": labels,
            "timeoutSeconds": str(seconds),
        }
        path = self.path(api_version, kind, namespace)
        lines = self.lines(path, query, silence=seconds + READ_TIMEOUT)
        for line in itertools.chain.from_iterable(lines):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise api_error(event["object"])
            yield Event(event["type"], event["object"])

    # Requests

    def path(self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """The path of a kind or of an object. Raises NotFound for a kind that is not served."""
        resource = self.resource(api_version, kind)
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if resource.namespaced and namespace:
            path += f"/namespaces/{quote(namespace)}"
        return f"{path}/{resource.plural}" + (f"/{quote(name)}" if name else "")

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
        timeout: float = READ_TIMEOUT,
    ) -> Any:
        """One request; the answer decoded. Raises Unreachable or an ApiError."""
        response = self._send(method, path, query or {}, body, content_type, read_timeout=timeout)
        with self._answering():
            data = response.data
        return json.loads(data) if data.startswith((b"{", b"[")) else data.decode()

    def read(
        self, path: str, query: Mapping[str, str], *, silence: float = READ_TIMEOUT, accept: str = JSON
    ) -> bytes:
        """The body of a GET as it came. Raises Silent after ``silence`` seconds without a byte."""
        response = self._send("GET", path, query, None, JSON, read_timeout=silence, accept=accept)
        with self._answering():
            return bytes(response.data)

    def lines(self, path: str, query: Mapping[str, str], *, silence: float) -> Iterator[list[bytes]]:
        """The lines of a GET as they come: all that are there at a time. Raises as ``read`` does."""
        response = self._send("GET", path, query, None, JSON, read_timeout=silence)
        try:
            with self._answering():
                rest = b""
                for arrived in _gathered(response):
                    *lines, rest = (rest + arrived).split(b"\n")
                    if lines := [line for line in lines if line]:
                        yield lines
        finally:
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str,
        *,
        read_timeout: float,
        accept: str = JSON,
    ) -> Any:
        discovery = path in ("/api", "/apis")
        headers = {"Accept": _DISCOVERY if discovery else accept, "Content-Type": content_type}
        self.client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        given = {key: value for key, value in query.items() if value}
        url = self.server + path + (f"?{urlencode(given)}" if given else "")
        with self._answering():
            # The client encodes JSON bodies itself, and wants any other body as bytes.
            response = self.client.rest_client.request(
                method,
                url,
                headers=headers,
                body=json.dumps(body).encode() if content_type == APPLY else body,
                _request_timeout=(CONNECT_TIMEOUT, read_timeout),
            ).response
            if response.status >= 400:
                raise api_error(status_of(response.status, response.data))
        return response

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever breaks between here and the server is Unreachable: connection, TLS, a cut answer."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 (loaded by now)
        from urllib3.exceptions import HTTPError, ReadTimeoutError  # noqa: PLC0415

        try:
            yield
        except (HTTPError, ApiException, OSError) as error:
            silent = isinstance(getattr(error, "reason", error), ReadTimeoutError)
            kind = Silent if silent else Unreachable
            raise kind(f"the API server {self.server} does not answer: {why(error)}") from error


def _gathered(response: Any) -> Iterator[bytes]:
    """The body of a response: what can be had without waiting is put together."""
    more = select.poll()
    more.register(response.fileno(), select.POLLIN)
    parts: list[bytes] = []
    size = 0
    for chunk in response.stream(65536):
        parts.append(chunk)
        size += len(chunk)
        if size >= _GATHERED or not more.poll(0):
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _resources(discovery: Object) -> Iterator[Resource]:
    for group in discovery["items"]:
        group_name = group["metadata"].get("name", "")
        for version in group["versions"]:
            api_version = f"{group_name}/{version['version']}" if group_name else version["version"]
            for served in version.get("resources", ()):
                if "responseKind" in served and served["responseKind"].get("kind"):
                    yield Resource(
                        api_version=api_version,
                        kind=served["responseKind"]["kind"],
                        plural=served["resource"],
                        namespaced=served["scope"] == "Namespaced",
                        verbs=frozenset(served["verbs"]),
                    )
