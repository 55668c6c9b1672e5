"""Rules of the whole suite: in CI nothing is skipped; elsewhere what can't run is left out aloud."""

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

NEEDS = {"java": "a real ZooKeeper server", "root": "network namespaces", "systemd": "systemd-analyze"}
JARS = [Path("/usr/share/java") / name for name in ("zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar")]
LEFT_OUT = pytest.StashKey[dict[str, int]]()

settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def in_ci() -> bool:
    return bool(os.environ.get("CI"))


def missing_for(marker: str) -> str:
    """What this machine lacks for tests with ``marker``; empty where nothing."""
    if marker == "root":
        lacks = [] if os.geteuid() == 0 else ["root"]
        return ", ".join(lacks + [f"the {name} command" for name in ("ip", "nft") if not shutil.which(name)])
    if marker == "systemd":
        return "" if shutil.which("systemd-analyze") else "the systemd-analyze command"
    return ", ".join(
        [str(jar) for jar in JARS if not jar.exists()]
        + ([] if shutil.which("java") else ["the java command"])
    )


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> Iterator[None]:
    """A shell starts what it puts in the background with these ignored, and so would be what tests start."""
    ours = {signal.SIGINT: signal.default_int_handler, signal.SIGQUIT: signal.SIG_DFL}
    before = {each: signal.signal(each, handler) for each, handler in ours.items()}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine lacks the means for, aloud; in CI it runs, and fails."""
    config.stash[LEFT_OUT] = {}
    for marker in NEEDS:
        unable = [item for item in items if item.get_closest_marker(marker)] if missing_for(marker) else []
        if unable and not in_ci():
            config.hook.pytest_deselected(items=unable)
            items[:] = [item for item in items if item not in unable]
            config.stash[LEFT_OUT][marker] = len(unable)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, what in NEEDS.items():
        if item.get_closest_marker(marker) and (missing := missing_for(marker)):
            pytest.fail(f"needs {what}, and misses {missing}: run tests/interop/install.sh as root")


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
    for marker, count in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(
            f"{count} tests that need {NEEDS[marker]} were left out, for want of {missing_for(marker)};"
            " tests/interop/install.sh says how to have them",
            yellow=True,
        )
