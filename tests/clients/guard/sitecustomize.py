"""Python imports this by itself when the folder is on its path."""

import loopback_only  # noqa: F401
