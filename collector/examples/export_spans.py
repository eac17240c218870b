#!/usr/bin/env python3
"""Exports spans with the OpenTelemetry SDK for Python, by gRPC and by HTTP, and looks whether all have arrived.

    python3 -m venv venv
    venv/bin/pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http
    venv/bin/python collector/examples/export_spans.py --plimsoll target/release/plimsoll

Starts a collector of its own on free ports, in a folder that is removed. Ends with 1 if a span is missing: every trace must be found by
its id, and by a search for its tag, also after the collector was killed and started again.
"""

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

SPANS_PER_TRACE = 10


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Collector:
    """A collector on free ports."""

    def __init__(self, binary, folder):
        self.http, self.grpc, self.otlp = free_port(), free_port(), free_port()
        with open(f"{folder}/scrape.yml", "w") as config:
            config.write("scrape_configs: []\n")
        self.command = [binary, "collector", "--config", f"{folder}/scrape.yml", "--data", f"{folder}/data"]
        self.command += ["--listen", f"127.0.0.1:{self.http}", "--otlp-grpc", f"127.0.0.1:{self.grpc}"]
        # A sample that falls on every trace: all of them are looked for.
        self.command += ["--otlp-http", f"127.0.0.1:{self.otlp}", "--span-sample", "1000000"]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        deadline = time.time() + 30
        while time.time() < deadline:
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("the collector does not start")

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=60) as answer:
            return answer.read().decode()

    def counted(self, name):
        lines = (line for line in self.get("/metrics").splitlines() if line.startswith(name))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def export(exporter, service, spans):
    """Makes traces of ten spans, and gives their ids."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=spans, max_export_batch_size=512))
    tracer = provider.get_tracer("export_spans")
    ids = []
    for number in range(spans // SPANS_PER_TRACE):
        with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER) as root:
            root.set_attribute("order.number", number)
            ids.append(f"{root.get_span_context().trace_id:032x}")
            for step in range(SPANS_PER_TRACE - 1):
                with tracer.start_as_current_span(f"step {step}", attributes={"step": step, "done": True}) as span:
                    span.add_event("priced", {"price": 9.99})
    if not provider.force_flush(120_000):
        sys.exit(f"{service}: the SDK could not send all of its spans")
    provider.shutdown()
    return ids


def find(collector, service, ids):
    """Looks for every trace by id, and for some by their tag; says how many are whole."""
    whole = 0
    for trace_id in ids:
        trace = json.loads(collector.get(f"/api/traces/{trace_id}"))["data"][0]
        whole += len(trace["spans"]) == SPANS_PER_TRACE
    searched = 0
    for number in random.sample(range(len(ids)), 20):
        tags = urllib.parse.quote(json.dumps({"order.number": str(number)}))
        traces = json.loads(collector.get(f"/api/traces?limit=5&service={service}&tags={tags}"))["data"]
        searched += [trace["traceID"] for trace in traces] == [ids[number]]
    return whole, searched


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--plimsoll", required=True, help="the command")
    arguments.add_argument("--spans", type=int, default=100_000, help="spans by each protocol")
    asked = arguments.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(asked.plimsoll, folder)
        try:
            sent = {}
            for service, exporter in [
                ("by-grpc", GrpcExporter(endpoint=f"http://127.0.0.1:{collector.grpc}", insecure=True)),
                ("by-http", HttpExporter(endpoint=f"http://127.0.0.1:{collector.otlp}/v1/traces")),
            ]:
                before = collector.counted("plimsoll_collector_spans_received_total")
                sent[service] = export(exporter, service, asked.spans)
                arrived = collector.counted("plimsoll_collector_spans_received_total") - before
                dropped = collector.counted("plimsoll_collector_spans_dropped_total")
                print(f"{service}: {arrived:.0f} of {asked.spans} spans arrived, {dropped:.0f} were dropped")
                failed |= arrived != asked.spans or dropped != 0
            for when in ["at once", "after kill -9"]:
                for service, ids in sent.items():
                    whole, searched = find(collector, service, ids)
                    print(f"{service}, {when}: {whole} of {len(ids)} traces found whole by id, {searched} of 20 by search")
                    failed |= whole != len(ids) or searched != 20
                if when == "at once":
                    collector.stop(signal.SIGKILL)
                    collector.start()
        finally:
            collector.stop(signal.SIGTERM)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
