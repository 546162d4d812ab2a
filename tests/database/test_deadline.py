"""The operations of a request share one deadline, and requests share none."""

from pixora.database import deadline
from pixora.services import services


def in_request(app, view):
    """Call a function where requests are answered."""

    def application(environment, start_response):
        with app.app_context():
            view()
        return []

    deadline.Deadline(application)({}, None)


def test_a_request_begins_with_its_whole_deadline(app):
    def view():
        assert deadline.spent() == 0.0
        services.database.ping()

    in_request(app, view)
    in_request(app, view)


def test_operations_of_a_request_add_up(app):
    def view():
        services.database.ping()
        once = deadline.spent()
        services.database.ping()
        assert 0.0 < once < deadline.spent()

    in_request(app, view)


def test_of_an_operation_within_another_only_the_outer_one_counts(app):
    def view():
        with services.database.operation("outer"):
            deadline.note(60.0)  # by one within
        assert deadline.spent() < 60.0

    in_request(app, view)


def test_paused_operations_do_not_count(app):
    def view():
        with deadline.paused():
            services.database.ping()
        assert deadline.spent() == 0.0

    in_request(app, view)


def test_nothing_counts_outside_a_request(app):
    with app.app_context():
        services.database.ping()
        assert deadline.spent() == 0.0


def test_a_request_leaves_nothing_to_what_comes_after_it(app, client):
    client.get("/health")
    with app.app_context():
        services.database.ping()
        assert deadline.spent() == 0.0
