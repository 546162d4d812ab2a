"""The application class leaves out parts of Flask only where there is nothing to do."""

import flask
import pytest
from flask.signals import appcontext_tearing_down, request_tearing_down

from pixora.web.application import Application


@pytest.fixture
def bare():
    """Return an application with one view, in a blueprint."""
    bare = Application(__name__)
    blueprint = flask.Blueprint("things", __name__)
    blueprint.add_url_rule("/things", "list", lambda: "the things")
    bare.register_blueprint(blueprint)
    return bare


@pytest.fixture
def calls():
    """Return the names of the hooks that were called."""
    return []


def get(bare):
    return bare.test_client().get("/things").text


def test_the_hooks_before_a_request_are_called_in_order(bare, calls):
    bare.before_request(lambda: calls.append("first"))
    bare.before_request(lambda: calls.append("second"))
    assert get(bare) == "the things"
    assert calls == ["first", "second"]


def test_a_hook_before_a_request_can_answer_it(bare):
    bare.before_request(lambda: "not now")
    assert get(bare) == "not now"


def test_the_hooks_of_a_blueprint_are_called(bare, calls):
    def note(response):
        calls.append("after")
        return response

    bare.before_request(lambda: calls.append("before all"))
    bare.url_value_preprocessor(lambda endpoint, values: calls.append(f"values of {endpoint}"))
    bare.before_request_funcs["things"] = [lambda: calls.append("before")]
    bare.after_request_funcs["things"] = [note]
    bare.teardown_request_funcs["things"] = [lambda error: calls.append("end")]
    assert get(bare) == "the things"
    assert calls == ["values of things.list", "before all", "before", "after", "end"]


def test_the_hooks_at_the_end_of_a_request_are_called(bare, calls):
    bare.teardown_request(lambda error: calls.append("request"))
    bare.teardown_appcontext(lambda error: calls.append("context"))
    get(bare)
    assert calls == ["request", "context"]


@pytest.mark.parametrize("signal", [request_tearing_down, appcontext_tearing_down])
def test_the_signals_at_the_end_of_a_request_are_sent(bare, calls, signal):
    def note(sender, exc):
        calls.append(exc)

    with signal.connected_to(note, bare):
        get(bare)
    assert calls == [None]


def test_an_unknown_path_and_a_wrong_method_are_refused(bare):
    client = bare.test_client()
    assert client.get("/unknown").status_code == 404
    assert client.delete("/things").status_code == 405


def test_the_answer_to_options_lists_the_methods(bare):
    assert bare.test_client().options("/things").allow == {"GET", "HEAD", "OPTIONS"}
