"""The configuration: one TOML file and a few environment variables, to frozen objects; all mistakes at once.

load ─► environment ─► schema (values) ─► rules (modules) ─► checks ─► model.Config
"""

from proxy.config.load import load, places
from proxy.config.problems import ConfigError

__all__ = ["ConfigError", "load", "places"]
