"""Rules of the whole suite: in CI nothing is skipped; without Java, its tests are left out aloud."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

JARS = [Path("/usr/share/java") / name for name in ("zookeeper.jar", "zookeeper-jute.jar")]
LEFT_OUT = pytest.StashKey[int]()

settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def in_ci() -> bool:
    return bool(os.environ.get("CI"))


def missing_for_java() -> str:
    missing = [str(jar) for jar in JARS if not jar.exists()]
    if shutil.which("java") is None:
        missing.append("the java command")
    return ", ".join(missing)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests out that need a real ZooKeeper where there is none; in CI they run, and fail."""
    java = [item for item in items if item.get_closest_marker("java")]
    if java and missing_for_java() and not in_ci():
        config.hook.pytest_deselected(items=java)
        items[:] = [item for item in items if item not in java]
        config.stash[LEFT_OUT] = len(java)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("java") and (missing := missing_for_java()):
        pytest.fail(f"needs a real ZooKeeper server, and misses {missing}: run tests/interop/install.sh")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI: what did not run was not shown."""
    report = yield
    fail_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file into a failure too."""
    report = yield
    fail_skipped_in_ci(report)
    return report


def fail_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and in_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests with real ZooKeeper servers were left out, for want of {missing_for_java()};"
            " tests/interop/install.sh says how to have them",
            yellow=True,
        )
