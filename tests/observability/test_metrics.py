"""Metrics: scraped by a real Prometheus, labels from configured lists only; the alerts use names that exist."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from doubles import LinearPredictor
from in_process import request, running
from prometheus_client.parser import text_string_to_metric_families
from sidelight.telemetry import Window
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.intervention_pb2 import CHANGE_BRIGHTNESS, Interventional, Parametric, Property

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
BATCHES = 'sidelight_edit_batch_seconds_%s{editor="pix", code="%s"%s}'
BUCKETS = [BATCHES % ("bucket", "OK", f', le="{le}"') for le in ("60", "120", "+Inf")]
API = {
    "grpc_server_started",
    "grpc_server_handled",
    "grpc_server_handling_seconds",
    "sidelight_explanations",
    "sidelight_explanation_seconds",
    "sidelight_queue_wait_seconds",
    "sidelight_queue_depth",
    "sidelight_batch_rows",
    "sidelight_batch_fill_ratio",
    "sidelight_model_evaluations",
    "sidelight_image_edits",
    "sidelight_edit_batch_seconds",
    "sidelight_editor_ready",
    "sidelight_converged",
    "sidelight_partial",
    "sidelight_upstream_seconds",
    "sidelight_upstream_in_flight",
    "sidelight_device_busy_ratio",
    "sidelight_device_memory_bytes",
    "sidelight_model_ready",
    "sidelight_attribution_error_ratio",
    "sidelight_build_info",
}


def scraped(address: str) -> dict[str, list]:
    """Samples by family, read as Prometheus's text."""
    with urllib.request.urlopen(address, timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {family.name: family.samples for family in families}


async def test_every_promised_metric_is_there_and_counts():
    async with running(LinearPredictor()) as up:
        await up.stub.Explain(request())
        found = await asyncio.to_thread(scraped, up.addresses["metrics"])
        assert set(found) >= API
        rpc = {"grpc_type": "unary", "grpc_service": "sidelight.v1.ExplanationService", "grpc_method": "Explain"}
        assert up.metric("grpc_server_started_total", **rpc) == 1
        assert up.metric("grpc_server_handled_total", **rpc, grpc_code="OK") == 1
        assert up.metric("grpc_server_handling_seconds_count", **rpc) == 1
        whose = {"method": "rise", "model": "linear"}
        assert up.metric("sidelight_explanations_total", **whose, outcome="OK") == 1
        assert up.metric("sidelight_explanation_seconds_count", **whose) == 1
        assert up.metric("sidelight_model_evaluations_total", **whose, executor="embedded") == 66
        assert up.metric("sidelight_converged_total", **whose) == 1
        assert up.metric("sidelight_upstream_seconds_count", model="linear", code="OK") > 0
        assert up.metric("sidelight_batch_rows_sum", ask="forward") >= 66
        assert up.metric("sidelight_model_ready", model="linear") == 1
        assert up.metric("sidelight_editor_ready", editor="parametric") == 1
        assert 0 < up.metric("sidelight_device_busy_ratio", lane="cpu") <= 1


async def test_callers_cannot_make_new_series():
    async with running(LinearPredictor()) as up:
        for name in ("made-up", "another"):
            with pytest.raises(grpc.aio.AioRpcError):
                await up.stub.Explain(request(id=name, models=[types_pb2.ModelRef(name=name)]))
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(up.addresses["metrics"]).read().decode())
        assert "made-up" not in page
        labels = {"method": "unknown", "model": "unknown", "outcome": "NOT_FOUND"}
        assert up.metric("sidelight_explanations_total", **labels) == 2


def test_the_busy_ratio_forgets_what_is_older_than_its_window():
    now = 100.0
    window = Window(10.0, clock=lambda: now)
    window.add(4.0)
    assert window.ratio() == pytest.approx(0.4)
    now = 108.0  # the span from 96 to 100: only what lies after 98 counts
    assert window.ratio() == pytest.approx(0.2)
    now = 111.0
    assert window.ratio() == 0.0


async def test_alerts_use_metrics_that_exist():
    async with running(LinearPredictor()) as up:
        await up.stub.Explain(request())
        brighter = Property(parametric=Parametric(change=CHANGE_BRIGHTNESS))
        await up.stub.Explain(request(interventional=Interventional(properties=[brighter], permutations=100)))
        found = await asyncio.to_thread(scraped, up.addresses["metrics"])
        names = {s.name for samples in found.values() for s in samples} | {f"{n}_total" for n in found}
        used = set(re.findall(r"\b(?:sidelight|grpc)_[a-z_]+\b", "".join(expressions())))
        labels = {"grpc_code", "grpc_service", "grpc_method"}
        assert used - labels <= names
        assert len(used) > 4


def expressions() -> list[str]:
    """The expressions of the alert rules."""
    text = (DEPLOY / "alerts.yml").read_text()
    return re.findall(r"expr: (?:>-)?(.*?)(?=\n +(?:for|labels):)", text, re.DOTALL)


needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus: apt-get install prometheus"
)


@needs_prometheus
def test_prometheus_accepts_the_example_configuration_and_its_rules():
    subprocess.run(["promtool", "check", "config", str(DEPLOY / "prometheus.yml")], check=True, capture_output=True)


def check_rules(alert: str, series: dict[str, str], firing: list[dict[str, str]], folder: Path) -> None:
    """Asserts with which labels an alert fires after 30 minutes of the series, one sample a minute."""
    known = {"alertname": alert, "alertstate": "firing"}
    told = [",".join(f'{name}="{value}"' for name, value in (known | labels).items()) for labels in firing]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{alert}", alertstate="firing"}}',
                "eval_time": "30m",
                "exp_samples": [{"labels": f"ALERTS{{{labels}}}", "value": 1} for labels in told],
            }
        ],
    }
    file = folder / "rules_test.yml"
    file.write_text(json.dumps({"rule_files": [str(DEPLOY / "alerts.yml")], "tests": [test]}))  # JSON is YAML
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
@pytest.mark.parametrize(
    ("alert", "severity", "bad", "good"),
    [
        (
            "SidelightEditorAway", "warning",
            {'sidelight_editor_ready{editor="pix"}': "0x30"},
            {'sidelight_editor_ready{editor="pix"}': "0x9 1x20"},  # still reading its weights
        ),
        (
            "SidelightEditsFail", "warning",
            {BATCHES % ("count", "OK", ""): "0+9x30", BATCHES % ("count", "RuntimeError", ""): "0+1x30"},
            {BATCHES % ("count", "OK", ""): "0+9x30", BATCHES % ("count", "Cancelled", ""): "0+9x30"},
        ),
        (
            "SidelightEditsSlow", "info",
            dict(zip(BUCKETS, ("0+1x30", "0+9x30", "0+9x30"), strict=True)),
            dict(zip(BUCKETS, ("0+9x30", "0+9x30", "0+9x30"), strict=True)),
        ),
    ],
)  # fmt: skip
def test_an_alert_on_edits_fires_where_it_should_and_only_there(tmp_path, alert, severity, bad, good):
    check_rules(alert, bad, [{"editor": "pix", "severity": severity}], tmp_path)
    check_rules(alert, good, [], tmp_path)


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[str]:
    """A real Prometheus that scrapes `target` every 200 ms; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "sidelight", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = ["prometheus", "--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--web.listen-address", address], stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(20)


def query(address: str, expression: str) -> list:
    """The result of an instant query; empty while Prometheus is starting."""
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


@needs_prometheus
async def test_a_real_prometheus_scrapes_the_service(tmp_path):
    async with running(LinearPredictor()) as up:
        await up.stub.Explain(request())
        target = up.addresses["metrics"].removeprefix("http://").removesuffix("/metrics")
        with prometheus(target, tmp_path) as address:
            ends = time.monotonic() + 30
            while not (
                found := await asyncio.to_thread(query, address, "sidelight_model_evaluations_total{method='rise'}")
            ):
                assert time.monotonic() < ends, (tmp_path / "log").read_text()[-2000:]
                await asyncio.sleep(0.1)
            assert float(found[0]["value"][1]) == 66
            assert found[0]["metric"]["model"] == "linear"
            (up_now,) = await asyncio.to_thread(query, address, "up")
            assert up_now["value"][1] == "1"
