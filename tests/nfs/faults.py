"""Faults, each aimed at one step of both protocols. The tests compare what holders believed with what is on the server."""

import contextlib
import subprocess
import time
from pathlib import Path

from aim import Aim
from peers import Refused
from world import NS, PATIENCE_S, Arena, nfsvm, on_client, shown, until


def refused(peer, kind, *command):
    """Asserts that the answer to the command, or the pending answer, is an error of that kind."""
    try:
        answer = peer.ask(*command) if command else peer.answer()
    except Refused as e:
        assert e.kind == kind, f"{peer.kind} got another error: {e}"
    else:
        raise AssertionError(f"{peer.kind} got no error, but: {answer}")


def aimed(peers, command, step):
    """Gives each peer the command and stops it before the arena's step. Returns a function that lets all of them continue."""
    aims = []
    for arena, peer in peers:
        aim = Aim(peer)
        peer.tell(*command)
        aim.stop_before(*step(arena))
        aims.append(aim)
    return lambda: [aim.let_go() for aim in aims]


SLOW_S = 10


def lose_the_replies(world, peers, command, step, carried_out, then):
    """Lets each peer send the request of that step, and loses the reply: replies are slow, and are dropped on their way once
    the server has carried the request out. Then runs the commands `then`. Returns the results of `carried_out`."""
    seen = []
    for arena, peer in peers:
        go_on = aimed([(arena, peer)], command, step)
        nfsvm("slow-replies", arena.own_client, f"{SLOW_S}s")
        go_on()
        what = f"{arena.protocol}: the server carries the request out"
        seen.append(until(lambda arena=arena: carried_out(arena), what))
        replied = time.monotonic()
        nfsvm("drop-replies", arena.own_client)
        # The peer's silence would prove nothing, since it may send more requests.
        assert time.monotonic() < replied + SLOW_S, f"{arena.protocol}: the reply was too fast to be lost"
    for words in then:
        nfsvm(*words)
    world.heal(*(arena.own_client for arena, _ in peers))
    return seen


CRASH = [["crash-nfsd"]]
CUT = [["cut", 1], ["cut", 3]]


def lost_reply_at_acquisition(world, then=CRASH):
    """The server carries out the LINK or the RENAME, and crashes before its reply reaches the client."""
    takers = [(arena, arena.peer(arena.own_client)) for arena in world.arenas]
    taken = lose_the_replies(world, takers, ["acquire"], Arena.takes_the_lock, Arena.holder, then)
    for (arena, taker), token in zip(takers, taken, strict=True):
        believed = taker.answer()[2]
        assert believed == token, f"{arena.protocol}: it did not notice that it had the lock, and acquired it again much later"
        assert arena.holder() == token, f"{arena.protocol}: it trusts {token}, but the server has {arena.holder()}"
        rival = arena.peer(2)
        refused(rival, "Timeout", "acquire", 0)
        taker.ask("release")
        rival.ask("acquire")
        rival.ask("release")
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: the holder knows that it holds the lock, and the rival that it does not")


def found_reply_at_acquisition(world):
    """The server carries out the LINK or the RENAME. The connection is cut, and the client gets the reply when it asks again."""
    lost_reply_at_acquisition(world, CUT)


def lost_reply_at_release(world, then=CRASH):
    """The server carries out the REMOVE, and crashes before its reply reaches the client."""
    holders = [(arena, arena.peer(arena.own_client)) for arena in world.arenas]
    for _, holder in holders:
        holder.ask("acquire")
    lose_the_replies(world, holders, ["release"], Arena.gives_it_back, lambda arena: not arena.holder(), then)
    for arena, holder in holders:
        holder.answer()
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: its holder sees that the lock is released, and nothing is left")


def found_reply_at_release(world):
    """The server carries out the REMOVE. The connection is cut, and the client gets the reply when it asks again."""
    lost_reply_at_release(world, CUT)


def released_while_it_is_read(world):
    """An NFS client turns a REMOVE of an open file into a RENAME to a name that starts with .nfs."""
    if world.version == "4.0":
        shown("on NFS 4.0 no contender opens the file")
        return
    readers = []
    for arena in world.arenas:
        holder, reader = arena.peer(1), arena.peer(1)
        holder.ask("acquire")
        aim = Aim(reader)
        reader.tell("acquire")
        aim.stop_before("open", arena.is_what_tells_the_holder)
        aim.stop_before("stat", lambda path: not path)  # It has opened the file.
        readers.append((arena, holder, reader, aim))
    for arena, holder, reader, aim in readers:
        holder.ask("release")
        third = arena.peer(2)
        third.ask("acquire")
        aim.let_go()
        assert reader.is_silent_for(4), f"{arena.protocol}: the reader acquired the lock beside its holder"
        third.ask("release")
        reader.answer()
        reader.ask("release")
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: another contender acquires the lock at once, and then the reader")


def taken_over(world, lifetime_s=60):
    """For each arena: a contender on client 2 that acquired the lock, and its token."""
    takers = [(arena, arena.peer(2, lifetime_s)) for arena in world.arenas]
    for _, taker in takers:
        taker.tell("acquire")
    return [(arena, taker, taker.answer()[2]) for arena, taker in takers]


def cut_off_while_it_releases(world):
    """A REMOVE that arrives late: `link` removes a successor's lock, which is its limit; `dir` does not."""
    holders = [(arena, arena.peer(1, lifetime_s=3)) for arena in world.arenas]
    for _, holder in holders:
        holder.ask("acquire")
    go_on = aimed(holders, ["release"], Arena.gives_it_back)
    nfsvm("partition", 1)
    go_on()
    successors = taken_over(world)
    world.heal(1)
    for (_, late), (arena, successor, token) in zip(holders, successors, strict=True):
        if arena.protocol == "link":
            late.answer()
            assert arena.holder() is None, "link: the late REMOVE has removed nothing: is the limit gone?"
            third = arena.peer(2)
            third.ask("acquire", 10_000)
            assert arena.overlaps(), "link: no two holders in the diary, although a live lock was removed"
            refused(successor, "Lost", "refresh", 60_000)
            refused(successor, "Lost", "release")
            third.ask("release")
            arena.check_nothing_is_left()
            arena.diary.unlink()
            shown("link: EXPECTED: the late REMOVE removes a successor's lock, and a third contender acquires it: two holders")
        else:
            refused(late, "Lost")
            assert arena.holder() == token, f"dir: the successor's lock was removed: {arena.holder()}"
            refused(arena.peer(2), "Timeout", "acquire", 0)
            successor.ask("release")
            arena.check_nothing_is_left()
            shown("dir: the late REMOVE removes nothing, and its sender gets an error")


def cut_off_while_it_breaks(world):
    """A breaker's last step arrives after another contender has broken the lock and acquired it."""
    expired = [(arena, arena.peer(2, lifetime_s=2)) for arena in world.arenas]
    for _, peer in expired:
        peer.ask("acquire")
    breakers = [(arena, arena.peer(1)) for arena in world.arenas]
    go_on = aimed(breakers, ["acquire"], Arena.breaks_it)
    nfsvm("partition", 1)
    go_on()
    successors = taken_over(world)
    world.heal(1)
    for (_, late), (arena, successor, token) in zip(breakers, successors, strict=True):
        # After its next poll it has done everything that it does with the late reply.
        assert late.is_silent_for(4), f"{arena.protocol}: the late breaker acquired the lock beside its holder"
        assert arena.holder() == token, f"{arena.protocol}: the server has {arena.holder()}, not the holder's {token}"
        successor.ask("refresh", 60_000)
        successor.ask("release")
        late.answer()
        late.ask("release")
        shown(f"{arena.protocol}: the late breaker harms nobody, and acquires the lock after its release")
    for arena, peer in expired:
        refused(peer, "Lost", "release")
        arena.check_nothing_is_left()


def cut_off_while_it_refreshes(world):
    """A refresh arrives after another contender has broken the lock and acquired it."""
    holders = [(arena, arena.peer(1, lifetime_s=3)) for arena in world.arenas]
    for _, holder in holders:
        holder.ask("acquire")
    go_on = aimed(holders, ["refresh", 60_000], Arena.moves_the_expiry_on)
    nfsvm("partition", 1)
    go_on()
    successors = taken_over(world)
    expiries = [arena.expiry_ns() for arena in world.arenas]
    world.heal(1)
    for (_, late), (arena, successor, token), expiry in zip(holders, successors, expiries, strict=True):
        refused(late, "Lost")
        assert (arena.holder(), arena.expiry_ns()) == (token, expiry), f"{arena.protocol}: the late refresh changed the lock"
        successor.ask("release")
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: the late refresh reports a lost lock, and the successor's lock is unchanged")


def server_goes(world, how):
    """nfsd stops and starts again while locks are held, waited for, and kept alive."""
    lifetime_s = 24
    by_state = []
    for arena in world.arenas:
        held, kept = arena.peer(1), arena.peer(1, lifetime_s, lock="kept")
        waiting = [arena.peer(2), arena.peer(2, lock="kept")]
        for peer in (held, kept):
            peer.ask("acquire")
        kept.ask("keep-alive")
        for peer in waiting:
            peer.tell("acquire")
        by_state.append((arena, held, kept, waiting))
    nfsvm(how)
    back = time.time_ns()
    for arena, held, kept, waiting in by_state:
        held.ask("refresh", 60_000)
        until(
            lambda arena=arena: arena.expiry_ns("kept") > back + lifetime_s * NS,
            f"{arena.protocol}: the kept lock is refreshed after the server's return",
        )
        for holder, waiter in zip((held, kept), waiting, strict=True):
            assert waiter.is_silent_for(0), f"{arena.protocol}: a held lock was broken"
            holder.ask("release")
            waiter.answer()
            waiter.ask("release")
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: both locks stay held, and then the waiters acquire them")


def server_restarts(world):
    """nfsd is restarted in order while locks are held, waited for, and kept alive."""
    server_goes(world, "restart-nfsd")


def server_crashes(world):
    """nfsd crashes and starts again while locks are held, waited for, and kept alive."""
    server_goes(world, "crash-nfsd")


def outage_longer_than_the_lifetime(world):
    """Keep-alive fails: the holder notices the lost lock in time, and `linklock run` ends its command."""
    lifetime_s = 12
    kept, runs, successors = [], [], []
    for arena in world.arenas:
        kept.append(arena.peer(1, lifetime_s))
        token = kept[-1].ask("acquire")[2]
        kept[-1].ask("keep-alive")
        runs.append(Run(arena, lifetime_s))
        successors += [(arena, arena.peer(2), "lock", token), (arena, arena.peer(2, lock="run"), "run", None)]
    nfsvm("partition", 1)
    for _, successor, _, _ in successors:
        successor.tell("acquire")
    expiries = {(arena, lock): arena.expiry_ns(lock) for arena in world.arenas for lock in ("lock", "run")}
    until(lambda: all([run.has_ended_its_command() for run in runs]), "linklock run ends its command")
    for run in runs:
        assert run.ended_ns < expiries[run.arena, "run"], f"{run.arena.protocol}: the command still ran after the expiry"
    for arena, successor, lock, token in successors:
        since = int(successor.answer()[1])
        assert since > expiries[arena, lock], f"{arena.protocol}: {lock} was acquired before its expiry"
        if token:
            [ceased] = [till for _, till, whose, _ in arena.beliefs() if whose == token]
            assert ceased < expiries[arena, lock], f"{arena.protocol}: the holder noticed the lost lock too late"
            shown(f"{arena.protocol}: the holder noticed it {(expiries[arena, lock] - ceased) / NS:.1f} s before the expiry")
    # While the server still does not answer.
    for arena, run in zip(world.arenas, runs, strict=True):
        status = run.process.wait(PATIENCE_S)
        assert status == 76, f"{arena.protocol}: linklock run ended with {status}, not with 76 for a lost lock"
        shown(f"{arena.protocol}: linklock run ended its command before the expiry, and says that the lock was lost")
    world.heal(1)
    for peer in kept:
        refused(peer, "Lost", "release")
    for _, successor, _, _ in successors:
        successor.ask("release")
    for arena in world.arenas:
        arena.check_nothing_is_left()


class Run:
    """`linklock run` on client 1, with a command that would run for ever."""

    def __init__(self, arena, lifetime_s):
        self.arena = arena
        self.ended_ns = None
        options = ["--lifetime", f"{lifetime_s}s", "--protocol", arena.protocol]
        command = [arena.programs["linklock"], "run", *options, arena.path(1, "run"), "sleep", 100_000]
        self.process = subprocess.Popen(on_client(1, *command), stderr=subprocess.DEVNULL)
        arena.peers.append(self)
        [self.command] = until(self._children, "linklock run starts its command")

    def _children(self):
        children = []
        for thread in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # It has ended by now.
                children += thread.read_text().split()
        return children

    def has_ended_its_command(self):
        if not self.ended_ns and self.command not in self._children():
            self.ended_ns = time.time_ns()
        return self.ended_ns

    def kill(self):
        self.process.kill()
        self.process.wait()


SCENARIOS = [
    lost_reply_at_acquisition,
    found_reply_at_acquisition,
    lost_reply_at_release,
    found_reply_at_release,
    released_while_it_is_read,
    cut_off_while_it_releases,
    cut_off_while_it_breaks,
    cut_off_while_it_refreshes,
    server_restarts,
    server_crashes,
    outage_longer_than_the_lifetime,
]
