import pytest

from slotzero.market.text import shown


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Pepe 🐸", "Pepe 🐸"),
        ("\x1b[2Jgone\x07", "?[2Jgone?"),
        ("a\r\n\tb  c", "a b c"),
        ("abc\u202egnp.exe", "abc?gnp.exe"),
        ("zero\u200bwidth\ufeff", "zero?width?"),
        ("surro\udc80gate", "surro?gate"),
        ("  padded\0\0", "padded??"),
        ("Z" + "\u0301" * 40 + "z", "Z\u0301\u0301z"),
        ("\u0301lonely", "lonely"),
        ("", ""),
    ],
)
def test_text_of_a_stranger_does_nothing_to_a_terminal(text: str, clean: str) -> None:
    assert shown(text, 40) == clean


def test_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 1_000_000, 5) == "xxxx…"
    assert shown("exact", 5) == "exact"
