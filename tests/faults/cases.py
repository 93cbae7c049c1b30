"""The matrix: which fault, at which moment of the way from which phase to which."""

from __future__ import annotations

from dataclasses import replace

from sandbox.relay import Mode

from ..e2e.world import STORE, VAR
from . import injectors as i
from . import playbook_injectors as p
from . import trust_injectors as t
from .cached_cases import CACHED
from .case import Case

FORWARD = [
    ("none", "prepare", "preflight"),
    ("none", "prepare", "install"),
    ("none", "prepare", "install, mounting"),
    ("none", "prepare", "before local -> prepare"),
    ("prepare", "mirror", "before prepare -> mirror"),
    ("prepare", "mirror", "mirror, copying"),
    ("prepare", "live", "mirror, compared"),
    ("mirror", "live", "before mirror -> live"),
    ("mirror", "live", "before cutover"),
    ("mirror", "live", "cutover, delta"),
    ("mirror", "live", "cutover, swapping"),
    ("mirror", "live", "cutover, starting"),
    ("mirror", "live", "after cutover"),
    ("live", "clean", "before live -> clean"),
    ("live", "clean", "clean, removing"),
]
BACK = [
    ("live", "prepare", "before live -> mirror"),
    ("live", "prepare", "restore, delta"),
    ("live", "prepare", "restore, swapping"),
    ("live", "prepare", "restore, starting"),
    ("live", "prepare", "after restore"),
    ("live", "prepare", "before mirror -> prepare"),
    ("clean", "prepare", "before clean -> live"),
    ("clean", "prepare", "refill"),
    ("live", "none", "unmount"),
    ("live", "none", "uninstall"),
    ("live", "none", "before prepare -> local"),
    ("live", "none", "restore, swapping"),
]
ROTATION = [
    ("live", "live", "remount, trying"),
    ("live", "live", "remount, delta"),
    ("live", "live", "remount, starting"),
]


def _chosen(fault: str, at: str) -> bool:
    return (fault, at) in {
        ("agent killed", "restore, swapping"),
        ("agent killed", "clean, removing"),
    }


def _everywhere(fault: str, inject: i.Injector, ways: list[tuple[str, str, str]]) -> list[Case]:
    return [Case(fault, inject, *way, chosen=way[1] != "none" and _chosen(fault, way[2])) for way in ways]


STEPS = [*FORWARD, *BACK, *ROTATION]
#: Where pulumi itself, or the whole server, dies; the agent dies everywhere, and `kills` adds random moments.
PULUMI = {"install", "mirror, copying", "cutover, delta", "clean, removing", "restore, swapping"}
POWER = {"install", "mirror, copying", "cutover, swapping", "clean, removing", "restore, delta", "refill",
         "remount, delta"}  # fmt: skip
MIRRORING, STOPPING = ("prepare", "mirror", "mirror, copying"), ("mirror", "live", "cutover, delta")
RESTORING = ("live", "prepare", "before live -> mirror")
SWAPPING, HOMING = ("mirror", "live", "cutover, swapping"), ("live", "prepare", "restore, swapping")
READY, AT_REST = ("mirror", "live", "before cutover"), ("live", "live", "at rest")
#: What is done at rest lasts until the way home, or waits for it.
HOME = ("live", "prepare", "at rest")

MEDIA_WORKER = "matrix-synapse-worker-media-repository-0"
#: What only happens where the homeserver is in containers.
IN_CONTAINERS = [
    *(Case("Docker killed", i.docker_killed, *way) for way in (MIRRORING, READY, SWAPPING, AT_REST, HOMING)),
    Case("Docker restarted", i.docker_restarted, *AT_REST),
    Case("Docker restarted", i.docker_restarted, *HOMING),
    Case("Synapse's container killed", i.container_killed("matrix-synapse"), *READY),
    Case("Synapse's container killed", i.container_killed("matrix-synapse"), *AT_REST),
    Case("worker's container killed", i.container_killed(MEDIA_WORKER), *AT_REST),
    *(Case("images updated", p.images_updated, *way) for way in (MIRRORING, SWAPPING, AT_REST, HOMING)),
    Case("images updated", p.images_updated, "live", "clean", "clean, removing"),
    Case("goofys' container killed", p.its_goofys_killed, *AT_REST),
    *(Case("power lost on docker", i.power_lost, *way) for way in (SWAPPING, HOMING, AT_REST)),
    Case("agent killed on docker", i.agent_killed, *SWAPPING),
]

#: While services stand still. Nothing may do so for more than ten seconds.
HELD = [
    Case(fault, inject, "mirror", "live", "cutover, held", method="auto", chosen=fault in ("agent hangs", "power lost"))
    for fault, inject in (
        ("agent killed", i.agent_killed),
        ("agent hangs", i.agent_hangs),
        ("pulumi killed", i.pulumi_killed),
        ("power lost", i.power_lost),
        ("store silent for 5 s", i.store_in(Mode.SILENT, 5)),
        ("store down for 5 s", i.store_in(Mode.REFUSING, 5)),
        ("unit stopped by hand", i.unit_stopped),
        ("worker restarted", i.worker_restarted),
        ("Docker killed", i.docker_killed),
        ("Docker restarted", i.docker_restarted),
    )
]
#: The same on the way home, and as a new key comes into use.
HELD_TOO = [
    Case(fault, inject, *way, method="auto")
    for way in (("live", "prepare", "restore, held"), ("live", "live", "remount, held"))
    for fault, inject in (
        ("agent killed", i.agent_killed),
        ("agent hangs", i.agent_hangs),
        ("power lost", i.power_lost),
        ("store silent for 5 s", i.store_in(Mode.SILENT, 5)),
        ("Docker killed", i.docker_killed),
    )
]
#: While the playbook's mount is taken over.
ADOPTING = [
    *(
        Case(fault, inject, "goofys", "clean", at)
        for fault, inject, at in (
            ("agent killed", i.agent_killed, "before local -> clean"),
            ("agent killed", i.agent_killed, "adopt, delta"),
            ("agent killed", i.agent_killed, "adopt, starting"),
            ("power lost", i.power_lost, "adopt, delta"),
            ("power lost", i.power_lost, "adopt, starting"),
            ("playbook run", p.playbook_run_with_its_mount, "adopt, delta"),
            ("store down for good", i.store_in(Mode.REFUSING), "adopt, delta"),
        )
    ),
    *(
        Case(fault, inject, "goofys", "clean", "adopt, held", method="auto")
        for fault, inject in (
            ("agent killed", i.agent_killed),
            ("agent hangs", i.agent_hangs),
            ("pulumi killed", i.pulumi_killed),
            ("power lost", i.power_lost),
            ("store silent for 5 s", i.store_in(Mode.SILENT, 5)),
            ("Docker killed", i.docker_killed),
        )
    ),
]
MOVES = ("copying", "delta", "swapping", "starting")
#: While the media move to another store; and while services stand still for that.
MOVING = [
    *(Case("agent killed", i.agent_killed, "live", "live", f"move, {at}") for at in MOVES),
    *(Case("power lost", i.power_lost, "live", "live", f"move, {at}") for at in MOVES),
    Case("pulumi killed", i.pulumi_killed, "live", "live", "move, copying"),
    Case("store down for good", i.store_in(Mode.REFUSING), "live", "live", "move, copying"),
    Case("store down for good", i.store_in(Mode.REFUSING), "live", "live", "move, delta"),
    Case("new store refuses the key", i.new_store_refuses, "live", "live", "move, copying"),
    Case("new store refuses the key", i.new_store_refuses, "live", "live", "before move"),
    *(replace(case, start="live", target="live", at="move, held", chosen=False) for case in HELD[:6]),
]
#: Those that see another place than the homeserver's: services are stopped instead.
UNSEEING = Case("a container that does not see the mount", i.container_sees_nothing, *READY, before=True, method="auto")

CASES = [
    *(replace(case, server="docker") for case in (*HELD, *HELD_TOO, *ADOPTING, *MOVING, UNSEEING)),
    *(replace(case, server="docker") for case in (*IN_CONTAINERS, *CACHED)),
    Case("store down for 30 s", i.store_in(Mode.REFUSING, 30), *MIRRORING),
    Case("store down for 30 s", i.store_in(Mode.REFUSING, 30), *RESTORING),
    Case("store down for good", i.store_in(Mode.REFUSING), *MIRRORING),
    Case("store down for good", i.store_in(Mode.REFUSING), *STOPPING),
    Case("store down for good", i.store_in(Mode.REFUSING), "live", "prepare", "restore, delta"),
    Case("booted with the store down for 5 min", i.booted_without_store, *AT_REST),
    Case("store silent", i.store_in(Mode.SILENT), *STOPPING),
    Case("store silent for 30 s", i.store_in(Mode.SILENT, 30), *AT_REST),
    Case("store answers 503", i.store_in(Mode.BUSY), *MIRRORING),
    Case("store answers 503", i.store_in(Mode.BUSY), *READY),
    # goofys tries each request for seconds, and Synapse makes an upload's folders on its main thread: it runs, and
    # with uploads waiting in line it answers nobody until the store does.
    Case("store answers 503", i.store_in(Mode.BUSY), *RESTORING, waits=True),
    Case("store slow", i.store_in(Mode.SLOW), *READY),
    Case("store's clock 10 minutes off", i.store_in(Mode.SKEWED), "none", "live", "at rest", before=True),
    Case("key revoked", i.key_revoked, *MIRRORING),
    Case("key revoked", i.key_revoked, *STOPPING),
    Case("key revoked", i.key_revoked, *AT_REST),
    Case("disk full", i.disk_full(VAR), *MIRRORING, own_disk=VAR),
    Case("disk full", i.disk_full(VAR), *STOPPING, own_disk=VAR, chosen=True),
    Case("disk full", i.disk_full(VAR), "live", "prepare", "restore, delta", own_disk=VAR),
    Case("disk full", i.disk_full(STORE.parent), "clean", "prepare", "refill", own_disk=STORE.parent),
    Case("mount killed", i.mount_killed, *AT_REST),
    Case("mount killed", i.mount_killed, "mirror", "live", "cutover, starting"),
    Case("mount hangs", i.mount_hangs, *AT_REST),
    Case("homeserver does not stop", i.homeserver_does_not_stop, *READY, before=True),
    Case("homeserver does not stop", i.homeserver_does_not_stop, *RESTORING, before=True),
    Case("homeserver does not start", i.homeserver_does_not_start_on("bucket"), *READY, before=True),
    Case("homeserver does not start", i.homeserver_does_not_start_on("local"), *RESTORING, waits=True, before=True),
    Case("file purged", i.file_purged, "prepare", "live", "mirror, copying"),
    Case("file half-written", i.file_half_written, "prepare", "live", "mirror, copying"),
    Case("thumbnail rewritten", i.thumbnail_rewritten, "prepare", "live", "mirror, copying"),
    Case("a folder in the way", i.folder_in_the_way, "mirror", "live", "at rest", before=True),
    Case("two runs of a stack", i.second_up, *MIRRORING),
    Case("two stacks on a server", i.second_stack, *MIRRORING),
    Case("playbook run", p.playbook_run, *MIRRORING),
    Case("playbook run", p.playbook_run, *STOPPING),
    Case("playbook run", p.playbook_run, "mirror", "live", "cutover, swapping"),
    Case("playbook run", p.playbook_run, *AT_REST),
    Case("playbook run", p.playbook_run, "live", "prepare", "restore, swapping"),
    Case("playbook's own mount takes over", p.playbook_takes_over, *AT_REST),
    Case("playbook's own mount takes over", p.playbook_takes_over, *HOME),
    Case("playbook's own mount takes over, nothing restarted", p.playbook_takes_over_beneath, *AT_REST),
    Case("power lost as the playbook takes over", p.power_lost_as_the_playbook_takes_over, *AT_REST),
    Case("killed as the playbook takes over", p.killed_as_the_playbook_takes_over, *AT_REST),
    Case("playbook told a wrong key", p.playbook_told_wrongly, *AT_REST),
    Case("playbook told a wrong endpoint later", p.playbook_told_wrongly_later, *AT_REST),
    Case("playbook's mount starts as media come home", p.playbooks_mount_starts_on_the_way_home, *HOME),
    Case("ours started by hand beside the playbook's", p.ours_started_by_hand, *AT_REST),
    Case("power lost on the way home from the playbook", p.power_lost_on_the_way_home_from_the_playbook, *HOME),
    Case("playbook run on the way home from it", p.playbook_run_on_the_way_home_from_it, *HOME),
    Case("recovery killed", t.recovery_killed, "mirror", "live", "cutover, swapping"),
    Case("recovery killed", t.recovery_killed, "live", "prepare", "restore, swapping"),
    Case("disk mounted late at boot", t.disk_comes_late, "mirror", "live", "cutover, swapping"),
    Case("disk mounted late at boot", t.disk_comes_late, "live", "prepare", "restore, swapping"),
    Case("disk mounted late at boot", t.disk_comes_late, *AT_REST),
    *(
        Case("disk full through a recovery", t.disk_full_through_recovery, *way, own_disk=VAR, waits=True)
        for way in (SWAPPING, HOMING)
    ),
    Case("journal lost", t.journal_lost, *AT_REST),
    Case("journal lost", t.journal_lost, "clean", "clean", "at rest"),
    Case("journal lost", t.journal_lost, "mirror", "live", "at rest"),
    Case("journal older than the truth", t.journal_is_older, *AT_REST, chosen=True),
    Case("journal older than the truth", t.journal_is_older, "clean", "clean", "at rest"),
    Case("a clone boots", t.clone_boots, *AT_REST, waits=True),
    Case("the earlier server boots after adopt", t.earlier_server_boots_after_adopt, *AT_REST, waits=True),
    Case("a writer survives its stop", t.writer_survives("remote_content/example.org/su/rv/ivor"), *READY, before=True),
    Case(
        "a writer survives its stop",
        t.writer_survives("remote_content/example.org/su/rv/ivor"),
        *RESTORING,
        before=True,
    ),
    Case("inodes follow from the path", t.nothing, *READY, own_disk=STORE.parent, disk_kind="mergerfs"),
    Case("inodes follow from the path", t.nothing, *RESTORING, own_disk=STORE.parent, disk_kind="mergerfs"),
    Case(
        "power lost where inodes follow from the path",
        i.power_lost,
        "live",
        "prepare",
        "restore, swapping",
        own_disk=STORE.parent,
        disk_kind="mergerfs",
    ),
    Case("power lost on a disk of its own", i.power_lost, *SWAPPING, own_disk=STORE, disk_kind="ext4", chosen=True),
    Case("power lost on a disk of its own", i.power_lost, *AT_REST, own_disk=STORE, disk_kind="ext4"),
    Case("power lost on a disk of its own", i.power_lost, *HOMING, own_disk=STORE, disk_kind="ext4"),
    Case("power lost on a disk of its own", i.power_lost, "live", "clean", "clean, removing", own_disk=STORE),
    Case("power lost on a disk of its own", i.power_lost, "clean", "prepare", "refill", own_disk=STORE),
    Case("agent killed on a disk of its own", i.agent_killed, *SWAPPING, own_disk=STORE, disk_kind="ext4"),
    Case("agent killed on a disk of its own", i.agent_killed, *HOMING, own_disk=STORE, disk_kind="ext4"),
    Case("journal lost on a disk of its own", t.journal_lost, *AT_REST, own_disk=STORE, disk_kind="ext4"),
    Case("journal lost on a disk of its own", t.journal_lost, "clean", "clean", "at rest", own_disk=STORE),
    Case("journal older on a disk of its own", t.journal_is_older, *AT_REST, own_disk=STORE, disk_kind="ext4"),
    *_everywhere("agent killed", i.agent_killed, STEPS),
    *_everywhere("pulumi killed", i.pulumi_killed, [way for way in STEPS if way[2] in PULUMI]),
    *_everywhere("power lost", i.power_lost, [way for way in STEPS if way[2] in POWER]),
    *_everywhere("rebooted", i.rebooted, [STOPPING, AT_REST]),
    *_everywhere("connection cut", i.connection_cut, [MIRRORING, STOPPING]),
    *_everywhere("sshd restarted", i.sshd_restarted, [MIRRORING]),
]
