"""The one workspace that the control plane knows, and the paths that Azure gives to it."""

from __future__ import annotations

from dataclasses import dataclass

PROVIDER = "Microsoft.MachineLearningServices"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Subscription, resource group and workspace: all services of the mock live in it.

    Other subscriptions, groups and workspaces do not exist, as for a caller who has no right to see them.
    """

    subscription_id: str = "00000000-0000-0000-0000-000000000001"
    subscription_name: str = "scoring-mock"
    resource_group: str = "scoring-mock"
    name: str = "scoring-mock"
    location: str = "eastus"
    workspace_id: str = "00000000-0000-0000-0000-000000000002"
    tenant_id: str = "00000000-0000-0000-0000-000000000003"
    principal_id: str = "00000000-0000-0000-0000-000000000004"

    @property
    def arm_id(self) -> str:
        """The resource id of the workspace."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.name}"
        )
