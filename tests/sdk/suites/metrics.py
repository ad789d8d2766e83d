"""Reads a node's metrics with the parsers of Prometheus' own client library, in either format."""

import os
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

url = f"http://{os.environ['SOCKET_RUSH_METRICS']}/metrics"


def families(accept, content_type, parse):
    """The page as a scraper gets that accepts this, by name; both parsers name counters without their suffix."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith(content_type), answer.headers
        page = answer.read().decode()
    found = list(parse(page))
    assert len(found) > 20, page
    for family in found:
        assert family.name.startswith("socket_rush_"), family
        assert family.documentation, family
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.samples, family
        assert len(family.samples) <= 110, family
    return {family.name: family for family in found}


def check_histogram(family):
    """Each bucket counts all that is in those before it, and the last one everything."""
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    counts = [sample.value for sample in buckets]
    assert counts == sorted(counts), family
    assert buckets[-1].labels == {"le": "+Inf"}, family
    [count] = [sample.value for sample in family.samples if sample.name.endswith("_count")]
    assert counts[-1] == count > 0, family


new = families("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", open_metrics)
old = families("text/plain; version=0.0.4", "text/plain; version=0.0.4", plain)
assert {name: family.type for name, family in new.items()} == {name: family.type for name, family in old.items()}
for page in (new, old):
    check_histogram(page["socket_rush_fan_out_duration_seconds"])
    check_histogram(page["socket_rush_publish_duration_seconds"])
