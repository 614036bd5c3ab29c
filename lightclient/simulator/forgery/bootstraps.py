"""Bootstraps that break a rule: their header, their root, their committee, and a second one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lightclient.protocol import Rule
from lightclient.simulator.forgery.changes import HEADER_CHANGES, flipped, without_execution
from lightclient.simulator.scenes import Forgery, Scene, Stage


def bootstrap_exists(scene: Scene) -> Iterator[Forgery]:
    """The same bootstrap again."""
    yield scene.forgery(
        Rule.BOOTSTRAP_EXISTS, "bootstrap_again", scene.bootstrap, Stage.NEXT_UNKNOWN
    )


def invalid_bootstrap_header(scene: Scene) -> Iterator[Forgery]:
    """A header whose execution is not proven, or which leaves it out."""
    rule, bootstrap, stage = Rule.INVALID_BOOTSTRAP_HEADER, scene.bootstrap, Stage.NO_STORE
    if scene.fork.data_format.header != "bare":
        for name, change in HEADER_CHANGES.items():
            changed = replace(bootstrap, header=change(bootstrap.header))
            yield scene.forgery(rule, f"bootstrap_{name}", changed, stage)
        return
    later = scene.forged_block(scene.later_fork_slot)
    header = without_execution(later, bootstrap.data_format, scene.network)
    yield scene.forgery(
        rule,
        "bootstrap_without_execution",
        replace(bootstrap, header=header),
        stage,
        trusted_block_root=later.root,
    )


def bootstrap_root_mismatch(scene: Scene) -> Iterator[Forgery]:
    """The honest bootstrap of another block."""
    block = scene.other_trusted
    other = scene.chain.bootstrap(block.root) if block is not None else None
    if other is None:
        return
    rule = Rule.BOOTSTRAP_ROOT_MISMATCH
    yield scene.forgery(rule, "bootstrap_of_another_block", other, Stage.NO_STORE)


def invalid_bootstrap_committee_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, another committee, and the next committee with its own branch."""
    rule, bootstrap = Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH, scene.bootstrap
    branch = flipped(bootstrap.current_sync_committee_branch)
    changed = replace(bootstrap, current_sync_committee_branch=branch)
    yield scene.forgery(rule, "bootstrap_wrong_branch", changed, Stage.NO_STORE)
    changed = replace(bootstrap, current_sync_committee=scene.other_committee())
    yield scene.forgery(rule, "bootstrap_other_committee", changed, Stage.NO_STORE)
    attesting = scene.chain.update_attesting(scene.trusted, scene.trusted.slot + 1)
    changed = replace(
        bootstrap,
        current_sync_committee=attesting.next_sync_committee,
        current_sync_committee_branch=attesting.next_sync_committee_branch,
    )
    yield scene.forgery(rule, "bootstrap_next_committee", changed, Stage.NO_STORE)
