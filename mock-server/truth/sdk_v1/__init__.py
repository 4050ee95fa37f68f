"""The truth check `sdk_v1`: azureml-core against the v1 control plane."""
