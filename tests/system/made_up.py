"""Values for what JSON Schema can name, as a format, but not describe.

Of the strings that schemathesis would make for these, the service rightly refuses most; ours are made as widely as the
rules allow.
"""

import datetime
import itertools
import string
from random import Random

import email_validator
import phonenumbers
from hypothesis import strategies as st
from zxcvbn_rs_py import zxcvbn


def is_address(text):
    try:
        email_validator.validate_email(text, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return False
    return len(text.rpartition("@")[0].casefold()) <= 64  # as it is stored


def made(make, is_right):
    """Return a strategy of a hundred values, made once: new ones for each request would take most of the run."""
    random = Random(1)
    values = (make(random) for _ in itertools.count())
    return st.sampled_from([*itertools.islice(filter(is_right, values), 100)])


def text(random, alphabet, longest, shortest=1):
    return "".join(random.choices(alphabet, k=random.randint(shortest, longest)))


def email(random):
    """Return what may be an address that could exist: schemathesis makes many under .test and .example."""
    plain = string.ascii_letters + string.digits
    others = "äÖßéñøİıΣςЖдالعربيהן日本語한글ﬁ"
    local = text(random, plain + others + "!#$%&'*+-/=?^_`{|}~.", random.choice([3, 20, 64]))
    domain = text(random, plain + others + "-", random.choice([3, 20, 63]))
    return f"{local}@{domain}.{random.choice(['com', 'org', 'CO.UK', 'de', 'рф'])}"


def password(random):
    """Return 12 to 72 characters of any script."""
    return text(random, string.printable[:95] + "äßéΣЖ日語한🙂\u0301", 72, shortest=12)


def telephone_numbers():
    """A number of every country, in each way of writing it that has the country code."""
    numbers = [phonenumbers.example_number(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)]
    ways = phonenumbers.PhoneNumberFormat
    return st.builds(
        phonenumbers.format_number,
        st.sampled_from([number for number in numbers if number and phonenumbers.is_valid_number(number)]),
        st.sampled_from([ways.E164, ways.INTERNATIONAL, ways.RFC3966]),
    )


def birthdays():
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    return st.dates(datetime.date(1900, 1, 1), yesterday).map(str)


def is_hard_to_guess(password):
    return len(password.encode()) <= 72 and int(zxcvbn(password).score) >= 3
