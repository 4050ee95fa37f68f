"""What the checks of the two SDKs share."""
