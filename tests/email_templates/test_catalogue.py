"""The templates of e-mails: which file is used, and which are refused at start-up."""

import re

import pytest

from pixora.accounts.outbox import TEMPLATES
from pixora.email_templates import rendering
from pixora.email_templates.catalogue import OURS, Catalogue, has_link
from pixora.email_templates.faults import TemplateFault

GOOD = "Subject of {{ service }}\n\nHello {{ first_name }},\n\n-> Press\n\nBye.\n"


@pytest.fixture
def write(tmp_path):
    """Write a file of MAIL_TEMPLATES."""

    def write(name, text=GOOD):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def load(tmp_path):
    """Read and check the templates as the start of the service does."""

    def load(default="en"):
        catalogue = Catalogue(tmp_path, default)
        rendering.check(catalogue)
        return catalogue

    return load


@pytest.fixture
def fault(write, load):
    """The message about a file, without its folder."""

    def fault(text, name="de/verify_email.txt"):
        path = write(name, text)
        with pytest.raises(TemplateFault) as caught:
            load()
        return str(caught.value).removeprefix(f"{path}")

    return fault


def test_we_have_every_email_in_english_and_german():
    for language in ("en", "de"):
        assert {path.stem for path in (OURS / language).glob("*.txt")} == set(TEMPLATES)


def test_without_files_of_the_operator_ours_are_valid():
    rendering.check(Catalogue(None, "en"))


@pytest.mark.parametrize(
    ("languages", "used"),
    [
        (["de-AT"], "de-AT"),
        (["de-CH"], "de"),
        (["de"], "de"),
        (["fr-CA", "de"], "fr"),
        (["it", "fr"], "fr"),
        (["it"], "en"),
        ([], "en"),
    ],
)
def test_the_language_falls_back_to_the_more_general_one_and_then_to_the_default(write, load, languages, used):
    for language in ("de-AT", "fr"):
        write(f"{language}/verify_email.txt")
    found = load().find("verify_email", languages)
    assert (found.language, found.is_ours) == (used, used in ("en", "de"))


def test_a_missing_file_is_ours(write, load):
    write("de/verify_email.txt")
    catalogue = load()
    assert not catalogue.find("verify_email", ["de"]).is_ours
    assert catalogue.find("reset_password", ["de"])[::2] == ("de", OURS / "de/reset_password.txt")


def test_the_default_language_is_a_setting(write, load):
    write("fr/verify_email.txt")
    assert load("fr").find("verify_email", ["it"]).language == "fr"
    assert load("fr").find("reset_password", ["it"]).language == "en"
    assert load("de").find("reset_password").language == "de"


def test_a_layout_stands_in_the_place_of_ours_for_all_languages_or_for_one(write, load):
    write(
        "layout.html",
        "all: {% for part in parts %}{{ part.words }}{% if part.is_link %}{{ link }}{% endif %}{% endfor %}",
    )
    write("fr/layout.html", "fr: {% for part in parts %}{{ part.words }} {{ link }}{% endfor %}")
    write("fr/verify_email.txt")
    catalogue = load()
    assert catalogue.layout("layout.html", "de").filename.endswith("/layout.html")
    assert catalogue.layout("layout.html", "fr-CA").filename.endswith("/fr/layout.html")


def test_hidden_files_and_notes_are_left_out(write, load):
    write("..data/verify_email.txt", "not a template")
    write("README.md", "notes")
    assert load().languages == {"en", "de"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("Subject\n\nHello {{ frist_name }}\n\n-> Press", 3, "there is no variable 'frist_name'"),
        ("Subject\n\nHello\n\n-> Press\n\n{{ config }}", 7, "there is no variable 'config'"),
        ("Subject\n\n{{ request.environ }}\n\n-> Press", 3, "the attribute 'environ'"),
        ("Subject\n\n{{ service.__class__ }}\n\n-> Press", 3, "the attribute '__class__'"),
        ("Subject\n\n{{ service['__class__'] }}\n\n-> Press", 3, "an element in brackets"),
        ("Subject\n\n{{ service|attr('__class__') }}\n\n-> Press", 3, "there is no filter 'attr'"),
        ("Subject\n\n{{ ''.join() }}\n\n-> Press", 3, "a call"),
        ("Subject\n\n{{ 'x' * 1000000000 }}\n\n-> Press", 3, "this expression"),
        ("Subject\n\n{{ 9 ** 9 ** 9 }}\n\n-> Press", 3, "this expression"),
        ("Subject\n\n{{ '%1000000000d' % 1 }}\n\n-> Press", 3, "this expression"),
        ("Subject\n\n{{ service|center(1000000000) }}\n\n-> Press", 3, "there is no filter 'center'"),
        ("Subject\n\n{{ service|safe }}\n\n-> Press", 3, "there is no filter 'safe'"),
        ("Subject\n\n{{ service is divisibleby 3 }}\n\n-> Press", 3, "there is no test 'divisibleby'"),
        ("Subject\n\n{% for i in range(9999999999) %}x{% endfor %}\n\n-> Press", 3, "{% for %}"),
        ("Subject\n\n{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}\n\n-> Press", 3, "{% macro %}"),
        ("Subject\n\n{% include 'verify_email.txt' %}\n\n-> Press", 3, "{% include %}"),
        ("Subject\n\n{% extends 'verify_email.txt' %}\n\n-> Press", 3, "{% extends %}"),
        ("Subject\n\n{% from 'x' import y %}\n\n-> Press", 3, "{% import %}"),
        ("Subject\n\n{% set s = service ~ service %}\n\n-> Press", 3, "{% set %}"),
        ("Subject\n\n{% if service %}\n\n-> Press", 3, "Unexpected end of template"),
        ("Subject\n\nHello {{ }}\n\n-> Press", 3, "Expected an expression"),
        ("Subject\n\nHello\n\n{{ service|upper(1) }}\n\n-> Press", 5, "it cannot be rendered"),
        ("", 1, "the subject is missing"),
        ("\n\nHello\n\n-> Press", 1, "the subject is missing"),
        ("Hello\nyou\n\n-> Press", 1, "the subject is missing"),
        ("-> Press\n\nHello", 1, "the subject is missing"),
        ("{{ first_name }}\n\nHello\n\n-> Press", 1, "the subject must have"),
        ("x" * 201 + "\n\nHello\n\n-> Press", 1, "the subject must have"),
        ("Subject\n\nHello\nyou", 4, "one paragraph must begin with '-> '"),
        ("Subject\n\nHello\n-> Press", 4, "the link is not in the e-mail"),
        ("Subject\n\nHello\n\n{% if first_name %}\n\n-> Press\n\n{% endif %}", 7, "the link is not in the e-mail"),
        (b"Subject\n\nGr\xfc\xdfe\n\n-> Press", 3, "it is not UTF-8"),
    ],
)
def test_a_fault_is_one_sentence_that_names_file_and_line(fault, text, line, words):
    message = fault(text)
    assert message.startswith(f", line {line}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("de/verfy_email.txt", "there is no such template. Use one of verify_email.txt,"),
        ("verify_email.txt", "there is no such template. Use one of layout.txt, layout.html."),
        ("de/style.html", "there is no such template"),
    ],
)
def test_a_misspelt_name_is_refused(fault, name, words):
    assert words in fault(GOOD, name)


@pytest.mark.parametrize("folder", ["deutsch!", "d", "de_AT", "a-very-long-name-that-is-no-language-tag-at-all"])
def test_a_folder_that_is_no_language_is_refused(write, load, folder):
    write(f"{folder}/verify_email.txt")
    with pytest.raises(TemplateFault, match="the name is not a language"):
        load()


def test_a_large_or_deeply_nested_file_is_refused(fault):
    assert "more than 65536 characters" in fault("x" * 70_000)
    assert "nested too deeply" in fault("Subject\n\n{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}\n\n-> Press")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% for part in parts %}{% for other in parts %}x{% endfor %}{% endfor %}{{ link }}", "a loop can only be"),
        ("{% for part in parts recursive %}{{ loop(parts) }}{% endfor %}{{ link }}", "a loop can only be"),
        ("{% for x in subject %}{{ x }}{% endfor %}{{ link }}", "a loop can only be"),
        ("{% for part in parts %}{{ part.__class__ }}{% endfor %}", "there is no attribute '__class__'"),
        ("{{ link }}" + "{% for part in parts %}{% endfor %}" * 6, "more than 5 loops"),
        ("{% for part in parts %}{{ part.words }}{% endfor %}", "the link is not in the e-mail"),
        ("{{ config }}{{ link }}", "there is no variable 'config'"),
    ],
)
def test_a_layout_can_loop_over_the_parts_only_and_must_have_the_link(write, load, text, words):
    write("layout.html", text)
    with pytest.raises(TemplateFault, match=re.escape(words)):
        load()


def test_an_email_without_a_link_has_no_button(fault):
    assert "this e-mail has no link" in fault("Subject\n\nHello\n\n-> Press", "de/password_changed.txt")


def test_a_template_may_have_conditions_and_defaults(write, load):
    text = (
        'Hello{% if first_name %} {{ first_name|upper }}{% endif %}\n\n{{ last_name|default("you", true) }}\n\n-> Press'
    )
    write("de/verify_email.txt", text)
    found = load().find("verify_email", ["de"])
    values = {"service": "Example", "first_name": "", "last_name": ""}
    assert found.template.render(values) == "Hello\n\nyou\n\n-> Press"


def test_what_has_a_link_is_what_has_a_token():
    assert {name for name in TEMPLATES if has_link(name)} >= {"verify_email", "reset_password", "change_email"}
