"""Words as the templates show them."""

from scripts.console.render import environment


def test_a_sentence_opens_with_a_capital_and_ids_keep_their_letters() -> None:
    template = environment().from_string("{{ words | opening }}")
    assert template.render(words="trying books_DE.max = 3") == "Trying books_DE.max = 3"
