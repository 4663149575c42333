import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.scalars import Duration, Flag, Scalar, Share, Size, String, Whole, Words, as_json


@pytest.mark.parametrize(
    ("scalar", "text", "value"),
    [
        (Duration(), "250ms", 0.25),
        (Duration(), "1m30s", 90.0),
        (Duration(), "1h1m1s1ms", 3661.001),
        (Duration(), "0s", 0.0),
        (Size(), "64KiB", 65536),
        (Size(), "16MiB", 16 << 20),
        (Size(), "2GiB", 2 << 30),
        (Size(), "1000", 1000),
        (Whole(0), "007", 7),
        (Whole(0), "0x1F", 31),
        (Whole(0), "0o17", 15),
        (Whole(), "-3", -3),
        (Whole(0, 100), "100", 100),
        (Flag(), "True", True),
        (Share(), "0", 0.0),
        (Share(), "1", 1.0),
        (Share(), ".25", 0.25),
        (Share(), "1e-3", 0.001),
        (Flag(), "false", False),
        (String(), "on", "on"),
        (String(), "1_000", "1_000"),
        (String(), "12:30", "12:30"),
        (String(), "1.2.3", "1.2.3"),
        (Words(("a", "b")), "b", "b"),
    ],
)
def test_reads_plain_text(scalar: Scalar, text: str, value: object) -> None:
    assert scalar.read(text, plain=True) == value


@pytest.mark.parametrize(
    ("scalar", "text", "complaint"),
    [
        (Duration(), "30", "expected a duration such as 250ms or 1m30s, got the number 30; did you mean '30s'?"),
        (Duration(), "1.5s", "expected a duration"),
        (Duration(), "1d", "expected a duration"),
        (Duration(), "-1s", "expected a duration"),
        (Duration(), "123456s", "expected a duration"),
        (Duration(), "1s1s1s1s1s", "expected a duration"),
        (Duration(), "", "got nothing"),
        (Size(), "16MB", "did you mean '16MiB'?"),
        (Size(), "64 k", "did you mean '64KiB'?"),
        (Size(), "-1", "expected a size"),
        (Size(), "9" * 500, "expected a size|too large"),
        (Size(), "9" * 30, "too large"),
        (Whole(0), "-1", "expected a whole number of at least 0, got the number -1"),
        (Whole(1), "1.0", "expected a whole number of at least 1, got the number 1.0"),
        (Whole(0), "yes", "expected a whole number of at least 0, got 'yes'"),
        (Whole(0), "9" * 30, "too large"),
        (Whole(0, 100), "101", "expected a whole number from 0 to 100, got the number 101"),
        (Flag(), "yes", "expected true or false, got 'yes'; did you mean 'true'?"),
        (Flag(), "off", "did you mean 'false'?"),
        (Share(), "1.01", "expected a number from 0 to 1, got the number 1.01"),
        (Share(), "-0.1", "expected a number from 0 to 1"),
        (Share(), "0x1", "expected a number from 0 to 1"),
        (Share(), ".nan", "expected a number from 0 to 1"),
        (Share(), "10%", "expected a number from 0 to 1"),
        (Flag(), "1", "expected true or false, got the number 1"),
        (String(), "1.10", "expected text, got the number 1.10; did you mean '1.10', in quotes?"),
        (String(), "true", "expected text, got the truth value true"),
        (String(), "~", "expected text, got nothing"),
        (
            Words(("Sequence", "Switch")),
            "sequense",
            "expected Sequence or Switch, got 'sequense'; did you mean 'Sequence'?",
        ),
    ],
)
def test_complains_of_the_rest(scalar: Scalar, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("?", r"\?")):
        scalar.read(text, plain=True)


@pytest.mark.parametrize(("scalar", "text"), [(Whole(), "5"), (Flag(), "true")])
def test_quotes_make_text(scalar: Scalar, text: str) -> None:
    with pytest.raises(ValueError, match=f"got '{text}'"):
        scalar.read(text, plain=False)


def test_quoted_text_is_text_whatever_it_looks_like() -> None:
    assert String().read("5", plain=False) == "5"
    assert String().read("", plain=False) == ""


@settings(deadline=None)
@given(st.integers(0, 99_999), st.sampled_from(["h", "m", "s", "ms"]))
def test_a_duration_is_shown_as_it_could_have_been_written(amount: int, unit: str) -> None:
    value = Duration().read(f"{amount}{unit}", plain=True)
    assert Duration().read(Duration().show(value), plain=True) == value


@settings(deadline=None)
@given(st.integers(0, 2**53 - 1))
def test_a_size_is_shown_as_it_could_have_been_written(size: int) -> None:
    assert Size().read(Size().show(size), plain=True) == size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("5", 5),
            ("-5", -5),
            ("0x10", 16),
            ("0.5", 0.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("true", True),
            ("False", False),
        ),
        *(("", None), ("~", None), ("null", None), ("yes", "yes"), ("1.2.3", "1.2.3"), ("infinity", "infinity")),
    ],
)
def test_the_users_own_data_is_what_it_says_unless_it_is_quoted(text: str, value: object) -> None:
    assert as_json(text, plain=True) == value
    assert type(as_json(text, plain=True)) is type(value)
    assert as_json(text, plain=False) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (".inf", r"JSON has no number .inf; did you mean '.inf', in quotes\?"),
        ("-.INF", "JSON has no number -.INF"),
        (".nan", "JSON has no number .nan"),
        ("1e999", "JSON has no number 1e999"),
        ("9" * 30, "the number 9+ is too large"),
    ],
)
def test_numbers_that_json_cannot_say(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        as_json(text, plain=True)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)])
def test_a_ratio_is_from_0_to_1(text: str, value: float) -> None:
    assert Share().read(text, True) == value
    assert Share().read(Share().show(value), True) == value


@pytest.mark.parametrize("text", ["-0.1", "1.1", "50%", ".nan", ".inf", "half", ""])
def test_anything_else_is_no_ratio(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        Share().read(text, True)
