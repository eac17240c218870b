"""Exports one of every kind of metric with OpenTelemetry's SDK: export.py http|grpc ENDPOINT INSTANCE."""

import sys

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

protocol, endpoint, instance = sys.argv[1:]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint, compression=Compression.Gzip)

reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
resource = Resource(
    {
        "service.name": "checkout",
        "service.namespace": "shop",
        "service.instance.id": instance,
        "k8s.pod.name": "checkout-1",
        "host.cpus": 4,
        "zones": ["a", "b"],
    }
)
views = [View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation(max_size=20))]
provider = MeterProvider(metric_readers=[reader], resource=resource, views=views)
meter = provider.get_meter("export", "1.2.3")

orders = meter.create_counter("orders.placed", unit="{order}", description="Orders placed")
orders.add(3, {"payment.method": "card", "1st": True})
orders.add(4.5, {"payment.method": "bank"})
meter.create_counter("io", unit="By").add(1000, {"_dir": "in"})
meter.create_up_down_counter("queue.length").add(-2, {"queue": "mail"})
meter.create_observable_gauge("cpu.utilization", [lambda _: [Observation(0.25, {"cpu": 0}), Observation(1e-9, {"cpu": 1})]], unit="1")
meter.create_observable_counter("uptime", [lambda _: [Observation(77)]], unit="s")
latency = meter.create_histogram("http.server.request.duration", unit="s", description="How long requests take")
size = meter.create_histogram("payload.size", unit="By")
for i in range(200):
    latency.record(i * 0.05, {"http.route": "/a", "http.response.status_code": 200})
    size.record((i % 50) ** 3, {"path": "ü/b"})
meter.create_histogram("rate", unit="By/s").record(5)

assert reader.force_flush(), "the first export failed"
provider.shutdown()
