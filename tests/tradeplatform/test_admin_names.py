"""What the admin calls things."""

import re
from importlib import import_module

from django.contrib import admin


def test_every_list_of_the_admin_has_a_name_that_is_a_word():
    """Django adds an s to whatever it is given, and writes shortened words small."""
    import_module("tradeplatform.urls")
    names = [str(model._meta.verbose_name_plural) for model in admin.site._registry]
    assert len(names) > 30
    odd = [name for name in names if re.search(r"[^aeiou ]ys$|[is]ss$|nances$|\bapi\b", name)]
    assert odd == []
