"""The filters that come with couch-tailor, each in a small file; `testing` has a kit for testing your own.

They are found as anyone's are, through the entry point group `couch_tailor.filters`. BUILTINS lists what is registered
there, by the name that `use` has in the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

BUILTINS: Mapping[str, str] = {
    "attachments": "filters.attachments:Attachments",
    "audience": "filters.audience:Audience",
    "compute": "filters.compute:Compute",
    "default": "filters.default:Default",
    "drop": "filters.drop:Drop",
    "keep": "filters.keep:Keep",
    "project": "filters.project:Project",
    "redact": "filters.redact:Redact",
    "rename": "filters.rename:Rename",
    "select": "filters.select:Select",
    "stamp": "filters.stamp:Stamp",
    "truncate": "filters.truncate:Truncate",
    "validate": "filters.validate:Validate",
}
"""Where the built-in filters are, by name: a mapping of text, so that nothing is imported that no profile uses."""
