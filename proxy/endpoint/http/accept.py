"""What an Accept-Encoding header lets an attachment be sent as. (For Accept see `proxy.core.wire.accept`.)"""

from __future__ import annotations


def accepts_gzip(header: str | None) -> bool:
    """Whether an Accept-Encoding header takes gzip, by name or as `*`; none given does not."""
    if header is None:
        return False
    weights: dict[str, float] = {}
    for piece in header.split(","):
        name, _, parameter = piece.partition(";")
        weights[name.strip().lower()] = _weight(parameter.strip())
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameter: str) -> float:
    if not parameter.startswith("q="):
        return 1.0
    try:
        return float(parameter[2:])
    except ValueError:
        return 0.0
