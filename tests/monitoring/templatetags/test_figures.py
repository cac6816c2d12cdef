"""The filters that put measures into words and units."""

from django.template import Context, Template


def shown(text, **values):
    return Template("{% load figures %}" + text).render(Context(values))


def test_a_page_says_a_measure_in_words_and_its_value_in_the_units_of_its_key():
    row = {"key": "host.memory_available", "value": 20_946_427_904}
    told = shown("{{ row.key|measure }}: {{ row.value|figure:row.key }}", row=row)
    assert told == "Machine, memory available: 19.5 GiB"
    assert shown("{{ a|percent }} {{ a|percent:0 }} {{ b|size }}", a=0.25, b=999) == (
        "25.0 % 25 % 999 B"
    )
