"""Reads a node's metrics with the parser of Prometheus' own client library."""

import os
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

url = f"http://{os.environ['SOCKET_RUSH_METRICS']}/metrics"
with urllib.request.urlopen(url, timeout=10) as answer:
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
    page = answer.read().decode()

families = list(text_string_to_metric_families(page))
assert len(families) > 20, page
for family in families:
    assert family.name.startswith("socket_rush_"), family
    assert family.documentation, family
    assert family.samples, family
    assert len(family.samples) <= 110, family
