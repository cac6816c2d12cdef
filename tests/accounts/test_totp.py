import pytest

from accounts import totp

# RFC 6238, appendix B, the SHA-1 column, cut to six digits; the secret is ASCII 1234...90
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("unix_s", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(unix_s, code):
    """SEC-23: the test vectors of RFC 6238."""
    assert totp.code_of(SECRET, totp.step_at(unix_s)) == code
    assert totp.step_of(SECRET, code, unix_s=unix_s) == unix_s // 30


@pytest.mark.parametrize(("late_s", "fits"), [(-30, True), (0, True), (30, True), (61, False)])
def test_a_code_holds_for_one_step_to_either_side(late_s, fits):
    at = 1111111110
    code = totp.code_of(SECRET, totp.step_at(at))
    assert (totp.step_of(SECRET, code, unix_s=at + late_s) is not None) == fits


@pytest.mark.parametrize(
    "code", ["", "28708", "2870822", "abcdef", "\uff12\uff18\uff17\uff10\uff18\uff12", "287082\n"]
)
def test_what_is_not_the_code_fits_no_step(code):
    fits = totp.step_of(SECRET, code, unix_s=59) is not None
    assert fits == (code.strip() == "287082")


def test_a_secret_has_160_bits_and_reaches_the_app_by_its_address():
    secret = totp.new_secret()
    assert len(secret) == 32
    assert totp.new_secret() != secret
    uri = totp.enrolment_uri(secret, "ada@desk")
    assert uri.startswith("otpauth://totp/Tradeplatform%3Aada%40desk?secret=")
    assert totp.in_groups("ABCDEFGHI") == "ABCD EFGH I"
