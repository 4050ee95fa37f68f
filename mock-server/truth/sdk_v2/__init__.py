"""The truth check `sdk_v2`: azure-ai-ml against the v2 control plane."""
