"""The OpenAPI document over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView

_made: dict[str, Any] = {}


class KeptGenerator(SchemaGenerator):
    """Makes the document once a process: it is the same for everyone and takes half a second."""

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        if self.api_version not in _made:
            made = super().get_schema(request, public=True)  # type: ignore[no-untyped-call]
            _made[self.api_version] = made
        return _made[self.api_version]


class SchemaApi(SpectacularAPIView):
    generator_class = KeptGenerator
    serve_public = True
