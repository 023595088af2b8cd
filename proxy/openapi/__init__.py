"""The HTTP surface as an OpenAPI 3.1 description, made from the endpoint table.

parameters   what may stand in a path, a query or a header
schemas      bodies
operations   kind and method → what is taken and answered
document     all of it as one OpenAPI document

Paths and methods come from `proxy.core.endpoints`; tests hold the rest to what the handlers read.
"""

from proxy.openapi.document import describe

__all__ = ["describe"]
