"""What the kinds of this API are called, for who needs no model of them: the models take half a second."""

from typing import Final

TENANT: Final = "Tenant"
REMOTE_SITE: Final = "RemoteSite"
REMOTE_JOB: Final = "RemoteJob"
BUDGET: Final = "Budget"
BUDGET_NAME: Final = "budget"
"""What the one of each partner's namespace is called."""

ANY: Final = "any"
"""A RemoteJob's site that leaves the choice to the queue."""

REMOTE_JOB_LABEL: Final = "antenna.be/remote-job"
"""On the Workloads of RemoteJobs: the RemoteJob's uid."""
REMOTE_JOB_FINALIZER: Final = "antenna.be/remote-job"
"""Keeps a RemoteJob until nothing of it is left at its site."""
