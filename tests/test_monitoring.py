"""The alerts and the dashboard name what there is. script/test-alerts tries the alerts on numbers."""

import itertools
import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from pixora.accounts.audit import EVENTS
from pixora.observability import metrics
from pixora.system import metrics_endpoint
from tests.documents import blocks

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]
]
ASKED_BY_PEOPLE = [block.text for block in blocks("promql")]
SCRAPE_LABELS = {"job", "instance"}
"""Which Prometheus adds."""


def metric_and_labels():
    """The names of all series there can be, each with its labels."""
    found = {"up": SCRAPE_LABELS}
    for metric in metrics.REGISTRY._collector_to_names:
        labels = {*metric._labelnames, *SCRAPE_LABELS}
        if metric._type == "histogram":
            found |= {f"{metric._name}_{kind}": labels for kind in ("count", "sum")}
            found[f"{metric._name}_bucket"] = labels | {"le"}
        else:
            found[metric._name + ("_total" if metric._type == "counter" else "")] = labels
    return found | {
        "pixora_outbox_oldest_seconds": SCRAPE_LABELS,
        "pixora_outbox_letters": SCRAPE_LABELS | {"state"},
        "pixora_second_factors": SCRAPE_LABELS | {"key", "readable"},
    }


def selectors(expression):
    """The series that an expression asks for."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", None) or []:
        yield from selectors(argument)


@pytest.mark.parametrize("expression", EXPRESSIONS + ASKED_BY_PEOPLE)
def test_every_expression_asks_for_metrics_and_labels_that_there_are(expression):
    known = metric_and_labels()
    found = list(selectors(promql_parser.parse(expression)))
    assert len(found) == len(re.findall(r"\b(?:pixora_\w+|up)\b", expression))
    for selector in found:
        assert selector.name in known
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name]
    grouped = {name for names in re.findall(r"\bby \(([^)]*)\)", expression) for name in re.split(r",\s*", names)}
    assert grouped <= set.union(*(known[selector.name] for selector in found))


@pytest.mark.parametrize("expression", EXPRESSIONS + ASKED_BY_PEOPLE)
def test_every_route_and_event_that_is_asked_for_is_there(session_app, expression):
    routes = {rule.rule for rule in session_app.url_map.iter_rules()}
    for selector in selectors(promql_parser.parse(expression)):
        for matcher in selector.matchers.matchers:
            values = {"route": routes, "event": set(EVENTS), "method": metrics.METHODS}.get(matcher.name)
            if values is not None:
                for pattern in matcher.value.split("|"):
                    assert any(re.fullmatch(pattern, value) for value in values), pattern


def test_the_metrics_that_are_made_at_a_scrape_are_as_this_test_has_them(client):
    text = client.get("/metrics").text
    assert "\npixora_outbox_oldest_seconds " in text
    assert '\npixora_outbox_letters{state="failed"} ' in text
    assert metrics_endpoint.blueprint.name == "metrics"


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(EXPRESSIONS)
    names = {re.sub("_(count|sum|bucket|total)$", "", name) for name in metric_and_labels()}
    assert [name for name in sorted(names) if name not in shown] == []


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_says_what_and_how_bad_it_is_and_where_to_read_on(rule):
    assert rule["alert"].startswith("Pixora")
    assert rule["for"]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_exactly_one_section_for_each_alert():
    runbook = (DEPLOY.parent / "docs/runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n\n\*\*(\w+)\*\*:", runbook, re.MULTILINE))
    assert sections == {rule["alert"]: rule["labels"]["severity"] for rule in RULES}
    for section in runbook.split("\n## ")[1:]:
        assert re.findall(r"^(\w[\w ]+)\n:", section, re.MULTILINE) == ["Users see", "Check", "Do", "Resolved"]


def test_every_alert_is_tried_by_promtool():
    tests = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text())["tests"]
    fired = {tried["alertname"] for test in tests for tried in test["alert_rule_test"] if tried.get("exp_alerts")}
    quiet = {tried["alertname"] for tried in tests[0]["alert_rule_test"]}
    assert fired == quiet == {rule["alert"] for rule in RULES}


def test_the_alerts_that_the_dashboard_names_are_there():
    named = set(re.findall(r"\bPixora[A-Z]\w+", json.dumps(PANELS)))
    assert named
    assert named <= {rule["alert"] for rule in RULES}


def test_the_dashboard_s_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        cell
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


def test_the_dashboard_works_with_any_prometheus_and_job():
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            for selector in selectors(promql_parser.parse(target["expr"].replace("$__rate_interval", "1m"))):
                filters = {(matcher.name, matcher.value) for matcher in selector.matchers.matchers}
                assert {("job", "$job"), ("instance", "$instance")} <= filters
