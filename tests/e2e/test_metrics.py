"""Prometheus knows how the media store is: what it reads on a real server, and what the alert rules make of that."""

from __future__ import annotations

from pathlib import Path

import yaml

from sandbox import promtool, server
from sandbox.world import ROOT

from .world import Begin, on_disk, wait_for

FOLDER = Path("/var/lib/node_exporter")
FILE = on_disk(FOLDER) / "matrix_media_store.prom"
RULES = ROOT / "docs/monitoring/alerts.yml"


def told() -> str:
    """The file as it is written now: the timer would do so within a minute."""
    server.ssh("systemctl start matrix-media-store-metrics.service")
    return FILE.read_text()


def test_the_metrics_say_each_phase_promtool_takes_them_and_they_go_with_the_setting(begin: Begin) -> None:
    migration = begin("metrics", thin=20)
    server.ssh(f"mkdir {FOLDER}")
    migration.stack.set("shared.host.metricsFolder", str(FOLDER))  # as all stacks of a project may say it
    migration.up("prepare")
    # The timer may have written while the update was under way: then it says so, and writes again within a minute.
    wait_for(lambda: FILE.exists() and 'phase{phase="prepare"} 1' in FILE.read_text(), seconds=150, every=0.5)
    assert "matrix_media_store_bucket_serves 0" in FILE.read_text()
    migration.up("live")
    text = told()
    assert 'phase{phase="live"} 1' in text
    assert "matrix_media_store_bucket_serves 1" in text and "matrix_media_store_mount_healthy 1" in text
    assert f"matrix_media_store_files {len(migration.before)}" in text
    done = promtool.check("check", "metrics", stdin=text)
    assert done.returncode == 0 and not done.stderr, done.stderr
    # A mount that does not come back is told of.
    server.ssh("systemctl stop matrix-media-store-watchdog; systemctl kill --signal=SIGSTOP matrix-media-store")
    assert "matrix_media_store_mount_healthy 0" in told()
    server.ssh("systemctl kill --signal=SIGCONT matrix-media-store")
    migration.stack.must("config", "rm", "--path", "shared.host.metricsFolder")
    migration.up("prepare")
    assert not FILE.exists() and "metrics" not in server.ssh("systemctl list-timers --all")
    migration.assert_serves_locally()


SERIES = {
    "mount_healthy": "1 1 0x20",
    "cache_failing_files": "0x3 7x20",
    "settled": "1 0x30",
    "run_under_way": "0x40",
    "written_timestamp_seconds": "0x40",
}
#: Each alert, a minute at which it is silent still, and one at which it is told.
ALERTS = {
    "MatrixMediaStoreMountDown": (3, 6, "critical"),
    "MatrixMediaStoreUploadsStuck": (7, 11, "critical"),
    "MatrixMediaStoreUnsettled": (12, 18, "warning"),
    "MatrixMediaStoreMetricsStale": (9, 12, "warning"),
}


def test_promtool_takes_the_alert_rules_and_each_is_told_when_it_should_be_and_not_before(tmp_path: Path) -> None:
    done = promtool.check("check", "rules", RULES)
    assert done.returncode == 0 and "4 rules found" in done.stdout, done.stdout + done.stderr
    tests = []
    for name, (silent, firing, severity) in ALERTS.items():
        for minute, told_of in ((silent, False), (firing, True)):
            expected = [{"exp_labels": {"severity": severity, "instance": "matrix"}}] if told_of else []
            tests.append({"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected})
    series = [
        {"series": f'matrix_media_store_{name}{{instance="matrix"}}', "values": values}
        for name, values in SERIES.items()
    ]
    plan = tmp_path / "rules.test.yml"
    group = {"interval": "1m", "input_series": series, "alert_rule_test": tests}
    plan.write_text(yaml.safe_dump({"rule_files": [str(_without_annotations(tmp_path))], "tests": [group]}))
    done = promtool.check("test", "rules", plan)
    assert done.returncode == 0, done.stdout + done.stderr


def _without_annotations(place: Path) -> Path:
    """The rules but for their sentences: those would have to be said again here."""
    document = yaml.safe_load(RULES.read_text())
    for rule in document["groups"][0]["rules"]:
        assert rule.pop("annotations")["summary"]
    copy = place / "rules.yml"
    copy.write_text(yaml.safe_dump(document))
    return copy
