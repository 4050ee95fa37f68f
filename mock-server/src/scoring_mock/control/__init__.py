"""The control plane: the management APIs of v1 and v2 over the services of the registry.

`plane.py` is what a listener serves; `model_management.py` is v1 (Model Management Service), `resource_manager.py` is
v2 (Azure Resource Manager). Real paths and field names; what nobody observed is marked simulated where it is defined.
"""
