"""The platform's addresses with freqtrade's switched on."""

from tradeplatform.compat.urls import compat_patterns
from tradeplatform.urls import urlpatterns as own

urlpatterns = [*own, *compat_patterns(is_on=True)]
