"""``checkpoint``: the root on stdout, who said what on stderr, and no root without a quorum."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from lightclient.simulator.habits import Answer, Received
from tests.cli.conftest import Command
from tests.served import Served, past_chain, served, write_network

pytest.importorskip("lightclient.simulator.server", reason="needs [demo]")

DEAD = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    """Three nodes of one chain."""
    chain, folder = past_chain(), tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        yield [
            stack.enter_context(served(chain, folder / str(number), live=False))
            for number in range(3)
        ]


@pytest.fixture(autouse=True)
def honest(nodes: list[Served]) -> Iterator[None]:
    yield
    for node in nodes:
        node.habits.intercept = None


@pytest.fixture
def ask(command: Command, nodes: list[Served]) -> Command:
    def run(*arguments: object) -> Result:
        return command("checkpoint", f"--network={nodes[0].network_directory}", *arguments)

    return run


def sources(nodes: list[Served]) -> list[str]:
    return [f"--from={node.url}" for node in nodes]


def lie(root: bytes) -> Callable[[Received, Answer], Answer]:
    """Name another root in every answer about finality and blocks."""

    def change(request: Received, answer: Answer) -> Answer:
        if request.path.endswith(("finality_checkpoints", "/root")):
            value = json.loads(answer.body)
            told = value["data"].get("finalized", value["data"])
            told["root"] = f"0x{root.hex()}"
            answer.body = json.dumps(value).encode()
        return answer

    return change


def test_the_root_alone_goes_to_stdout(ask: Command, nodes: list[Served]) -> None:
    result = ask(*sources(nodes))
    assert result.exit_code == 0, result.stderr
    root = "0x" + nodes[0].chain.head.finalized.root.hex()
    assert result.stdout == root + "\n"
    assert "2 of 3 must agree" in result.stderr
    assert result.stderr.count("agrees") == 3
    assert all(node.url in result.stderr for node in nodes)
    assert "3 of 3 agree" in result.stderr
    assert "epochs (" in result.stderr
    assert "weak subjectivity period is at most 257 epochs" in result.stderr
    assert "Warning" not in result.stderr


def test_what_it_prints_is_accepted_as_trusted_block_root(
    ask: Command, nodes: list[Served]
) -> None:
    root = bytes.fromhex(ask(*sources(nodes)).stdout.strip()[2:])
    assert nodes[0].chain.bootstrap(root) is not None


def test_json_is_one_object_for_programs(ask: Command, nodes: list[Served]) -> None:
    result = ask(*sources(nodes[:2]), f"--from={DEAD}", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    report = json.loads(result.stdout)
    chain = nodes[0].chain
    root = "0x" + chain.head.finalized.root.hex()
    assert report["trusted_block_root"] == root
    assert report["problem"] is None
    assert report["warnings"] == []
    assert (report["asked"], report["quorum"], report["needed"]) == (3, 2, 2)
    found = report["checkpoint"]
    assert (found["epoch"], found["root"], found["agreeing"]) == (
        chain.head.finalized.epoch,
        root,
        2,
    )
    assert found["age_epochs"] >= 2
    assert found["age_seconds"] == pytest.approx(found["age_epochs"] * 2, abs=3)
    assert report["weak_subjectivity_epochs"] == 257
    assert [item["standing"] for item in report["services"]] == ["agrees", "agrees", "unreachable"]
    assert report["services"][2]["reason"].startswith("cannot be reached")


def test_without_a_quorum_there_is_no_root(ask: Command, nodes: list[Served]) -> None:
    result = ask(*sources(nodes[:1]), f"--from={DEAD}", "--from=http://127.0.0.1:2")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("unreachable") == 2
    assert "Error: no finalized checkpoint that 2 of 3 services name (1 gave" in result.stderr
    report = ask(*sources(nodes[:1]), f"--from={DEAD}", "--json")
    assert report.exit_code == 1
    assert json.loads(report.stdout)["trusted_block_root"] is None


def test_a_contradiction_is_loud_and_outvoted_only_by_more_than_half(
    ask: Command, nodes: list[Served]
) -> None:
    nodes[2].habits.intercept = lie(b"\xbb" * 32)
    result = ask(*sources(nodes))
    assert result.exit_code == 0
    assert result.stdout.strip() == "0x" + nodes[0].chain.head.finalized.root.hex()
    assert "CONFLICT about epoch" in result.stderr
    assert "conflicting" in result.stderr
    assert "Warning: the services contradict each other" in result.stderr
    result = ask(*sources(nodes), f"--from={DEAD}", "--quorum=2")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Error: the services contradict each other about epoch" in result.stderr
    assert "3 of 4" in result.stderr


def test_one_against_one_is_no_quorum(ask: Command, nodes: list[Served]) -> None:
    nodes[1].habits.intercept = lie(b"\xbb" * 32)
    for quorum in (1, 2):
        result = ask(*sources(nodes[:2]), f"--quorum={quorum}")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.count("conflicting") == 2
    report = json.loads(ask(*sources(nodes[:2]), "--json").stdout)
    assert set(report["conflicts"][0]["roots"]) == {
        "0x" + "bb" * 32,
        "0x" + nodes[0].chain.head.finalized.root.hex(),
    }


def test_a_single_service_is_never_trusted_silently(ask: Command, nodes: list[Served]) -> None:
    result = ask(*sources(nodes[:1]))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "one service could name any root" in result.stderr
    result = ask(*sources(nodes[:1]), "--quorum=1")
    assert result.exit_code == 0
    assert result.stdout.startswith("0x")
    assert "Warning: --quorum 1: this root rests on the word of one service" in result.stderr


def test_two_urls_of_one_host_are_one_service(ask: Command, nodes: list[Served]) -> None:
    url = nodes[0].url
    for second in (url, f"{url}/k3y", url.replace("http://", "http://user:s3cret@")):
        result = ask(f"--from={url}", f"--from={second}")
        assert result.exit_code == 2
        assert "counts once" in result.stderr
        assert "k3y" not in result.stderr
        assert "s3cret" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing --from"),
        (["--from=ftp://a.example", "--from=http://b.example"], "--from number 1: a provider URL"),
        (["--from=http://a.example", "--from=http://b.example", "--quorum=3"], "never be reached"),
        (["--from=http://a.example", "--from=http://b.example", "--quorum=0"], "--quorum"),
        (["--from=http://a.example", "--from=http://b.example", "--timeout=0"], "--timeout"),
        ([f"--from=http://{n}.example" for n in range(33)], "32 times at most"),
        (
            ["--from=https://a.example", "--from=https://b.example", "--rest-ca-file=/nowhere"],
            "no CA certificates",
        ),
        (["--from=https://a.example", "--from=https://b.example", "--rest-ca-file="], "is empty"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(
    ask: Command, arguments: list[str], said: str
) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_service_of_another_network_is_named(
    ask: Command, nodes: list[Served], command: Command
) -> None:
    result = command("checkpoint", "--network=mainnet", *sources(nodes[:2]))
    assert result.exit_code == 1
    assert result.stderr.count("wrong network") == 2
    assert nodes[0].network.genesis_validators_root.hex() in result.stderr


def test_an_old_checkpoint_is_no_root_to_trust(command: Command, tmp_path: Path) -> None:
    # A chain that stopped long ago, by this machine's clock.
    chain = past_chain()
    slots = chain.network.preset.slots_per_epoch * 400
    before = chain.network.genesis_time - slots * chain.network.slot_duration_ms // 1000
    with (
        served(chain, tmp_path / "a", live=False) as one,
        served(chain, tmp_path / "b", live=False) as two,
    ):
        directory = write_network(replace(chain.network, genesis_time=before), tmp_path / "old")
        result = command("checkpoint", f"--network={directory}", *sources([one, two]))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "more than the weak subjectivity period (at most 257 epochs)" in result.stderr
    assert "check this machine's clock" in result.stderr


def test_keys_in_urls_are_not_shown(ask: Command, nodes: list[Served]) -> None:
    port = nodes[0].url.rpartition(":")[2]
    result = ask(
        f"--from=http://user:passw0rd@127.0.0.1:{port}/k3y0f0urs?token=t0ken", f"--from={DEAD}"
    )
    assert result.exit_code == 1
    assert not any(secret in result.stderr for secret in ("passw0rd", "k3y0f0urs", "t0ken"))
