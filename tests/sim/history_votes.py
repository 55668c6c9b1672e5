"""Old bugs of elections as such: which votes count, for whom, and for how long."""

import math

import attrs
from core_driver import Driver, claim, ensemble_of, looking
from core_network import Network
from scenario import scenario

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import ConfigSeen, Established
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import build_ensemble
from trio_fle.vote import LearnerType, PeerState, StateSummary, Vote
from trio_fle.wire import Layout, Notification, decode_notification, encode_notification
from trio_fle.zab import Discovery, Lease

OURS = ElectionOptions()


def voter(me: int, size: int, *, zxid: int = 0, epoch: int = 0) -> Driver:
    """A member that looks for a leader."""
    return Driver(me, ensemble_of(size), OURS, zxid, epoch).look()


def elected(driver: Driver) -> int | None:
    """Whom it decided on first."""
    decided = driver.decided()
    return None if decided is None else decided.vote.leader


# Who leads


@scenario
def claims_without_the_leader() -> None:
    """A restarted server followed a dead one, since all others still said that it leads."""
    driver = voter(1, 5)
    for follower in (2, 4, 5):
        driver.hear(follower, claim("FOLLOWING", 3, 7))
    assert elected(driver) is None, "it follows a leader that says nothing itself"
    driver.hear(3, claim("LEADING", 3, 7))
    assert elected(driver) == 3, "it does not follow the leader"


@scenario
def the_elected_leader_dies() -> None:
    """The winner died just after the election; who came late elected it again and again."""
    driver = voter(1, 5)
    driver.hear(3, looking(3))
    for follower in (2, 4, 5):
        driver.hear(follower, claim("FOLLOWING", 3))
    assert elected(driver) is None, "it follows a server that was heard looking, and died"
    for other in (2, 4, 5):
        driver.hear(other, looking(5, 2))
    driver.wait(0.3)
    assert elected(driver) == 5, "the next election does not end"


@scenario
def a_server_without_weight() -> None:
    """The server with the best history has weight 0, and was elected."""
    weights = ("group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=0")
    driver = Driver(1, ensemble_of(3, *weights), OURS).look()
    driver.hear(3, looking(3, zxid=9))
    driver.hear(2, looking(3, zxid=9))
    assert elected(driver.wait(0.3)) is None, "a server of weight 0 is elected"
    driver.hear(2, looking(2))
    assert elected(driver.wait(0.3)) == 2, "nobody is elected"


@scenario
def a_vote_for_a_stranger() -> None:
    """Votes for an id that no configuration names ended the receiver."""
    driver = voter(1, 3)
    for sender in (2, 3):
        driver.hear(sender, looking(99, 50, zxid=1 << 40))
    assert elected(driver.wait(1)) is None, "server 99 is elected, which does not exist"


@scenario
def a_lost_database() -> None:
    """A server whose data were lost voted, and counted, like one that never had any."""
    lost = voter(1, 3, zxid=-1)
    lost.hear(2, looking(2))
    lost.hear(3, looking(2))
    assert elected(lost.wait(1)) is None, "a server without its data takes part in the election"


# Rounds


@scenario
def wide_area_links() -> None:
    """Over links slower than the first time-outs, elections began anew for ever."""
    network = Network(ensemble_of(5), delay_s=0.45, options=OURS)
    for sid in network.ensemble.servers:
        network.start(sid)
    network.run(10)
    looks = [sid for sid, core in network.cores.items() if core.fle.election is not None]
    assert not looks, f"{looks} still elect after 10 s"
    assert network.leader() == 5, "they elect somebody else"


@scenario
def votes_of_the_round_before() -> None:
    """Votes of an election that came to nothing were counted in the next one."""
    driver = voter(1, 5)
    driver.hear(2, looking(5))
    driver.hear(4, looking(5, 2))
    assert elected(driver.wait(0.3)) is None, "two votes of this round and one of the last elect a leader"
    driver.hear(3, looking(5, 2))
    assert elected(driver.wait(0.3)) == 5, "three votes of this round elect nobody"


@scenario
def claims_of_a_finished_round() -> None:
    """A server that restarted went LEADING on what others had said of it rounds ago."""
    driver = voter(3, 3).look()
    for sid in (1, 2):
        driver.hear(sid, claim("FOLLOWING", 3, 1))
    assert elected(driver.wait(1)) is None, "it leads by claims of a round that is over"


@scenario
def five_with_differing_epochs() -> None:
    """Each of two votes was better than the other: five servers elected the last one heard, if anyone."""
    network = Network(ensemble_of(5), options=OURS)
    for sid, (epoch, zxid) in {1: (3, 5), 2: (2, 5), 3: (1, 5), 4: (2, 5), 5: (1, 5)}.items():
        network.start(sid, zxid=zxid, epoch=epoch)
    network.run(1)
    looks = [sid for sid, core in network.cores.items() if core.fle.election is not None]
    assert not looks, f"{looks} still elect"
    assert network.leader() == 1, "the newest epoch is not elected"


# Joining


@scenario
def the_own_vote_among_claims() -> None:
    """A server that came back took its own vote for one of the claims of others, and went LEADING."""
    driver = voter(5, 5, zxid=99, epoch=9)
    for sid in (1, 2):
        driver.hear(sid, claim("FOLLOWING", 5, 1))
    assert elected(driver.wait(1)) is None, "two claims and its own vote make it a leader"


@scenario
def joining_after_the_epoch_has_changed() -> None:
    """Who joined late was told epochs from before and after the election, which never agreed."""
    leader = voter(3, 3)
    leader.hear(1, looking(3))
    leader.hear(2, looking(3))
    leader.step(Established(1))
    leader.hear(1, looking(1, 2))
    joiner = voter(1, 3).look()
    joiner.hear(2, claim("FOLLOWING", 3, 1, epoch=1))
    joiner.hear(3, leader.last_sent(1))
    assert elected(joiner.wait(1)) == 3, "it can't join: the leader tells the epoch before"


@scenario
def joining_where_zxids_differ() -> None:
    """In a rolling upgrade settled servers told different zxids, and nobody could join them."""
    driver = voter(1, 3)
    driver.hear(2, claim("FOLLOWING", 3, 7, zxid=1 << 32, epoch=2))
    driver.hear(3, claim("LEADING", 3, 7, zxid=2 << 32, epoch=2))
    assert elected(driver) == 3, "it can't join servers that tell different zxids"


@scenario
def joining_where_rounds_differ() -> None:
    """Settled servers that had joined one by one told different rounds, and nobody could join them."""
    driver = voter(1, 3)
    driver.hear(2, claim("FOLLOWING", 3, 2, epoch=2))
    driver.hear(3, claim("LEADING", 3, 7, epoch=2))
    assert elected(driver) == 3, "it can't join servers that tell different rounds"


@scenario
def joining_where_formats_differ() -> None:
    """Servers of two releases told their epochs in formats that can't be compared."""
    driver = voter(1, 3)
    driver.hear(2, claim("FOLLOWING", 3, 4, epoch=0, version=0))
    driver.hear(3, claim("LEADING", 3, 4, epoch=1))
    assert elected(driver) == 3, "it can't join servers of different releases"


@scenario
def a_stale_claim() -> None:
    """A leader that looks for a leader itself was joined on what it had claimed before."""
    driver = voter(1, 5)
    driver.hear(3, claim("LEADING", 3, 7))
    driver.hear(3, looking(3, 1))
    for sid in (2, 4, 5):
        driver.hear(sid, claim("FOLLOWING", 3, 7))
    assert elected(driver.wait(0.1)) is None, "it follows a server that looks for a leader"


# Messages


@scenario
def told_in_todays_format() -> None:
    """Notifications said nothing of their format, so none could ever be changed."""
    told = Notification(PeerState.LOOKING, Vote(3, 7, 1), 4, config=b"version=0")
    heard = decode_notification(encode_notification(told))
    assert heard == told, f"format {heard.version} is told, and the configuration is {heard.config!r}"


@scenario
def a_message_of_the_format_before() -> None:
    """A message of format 1 has no configuration; what follows must not be taken for one."""
    told = Notification(PeerState.LOOKING, Vote(3, 7, 1), 4, version=1)
    body = encode_notification(told, Layout.VERSIONED) + b"\0\0\0\0more"
    heard = decode_notification(body)
    assert heard.config is None, f"a message of format 1 brings the configuration {heard.config!r}"
    assert heard == told, f"format 1 is read as {heard}"


@scenario
def observer_and_voter_answer_each_other() -> None:
    """An observer in a later round and a voter answered each other's answers as fast as they could."""
    ensemble = ensemble_of({1: "participant", 2: "participant", 3: "participant", 4: "observer"})
    network = Network(ensemble, options=OURS)
    network.start(1)
    network.start(4)
    for _ in range(4):
        network.look(4)
    network.run(1)
    sent = len(network.cores[4].sent(1))
    assert sent < 50, f"{sent} messages from an observer to a voter in a second"


@scenario
def a_slow_network_is_spared() -> None:
    """The first wait before a vote is repeated could not be set."""
    driver = Driver(1, ensemble_of(3), attrs.evolve(OURS, resend_min_s=2.0)).look().wait(1.9)
    assert len(driver.sent(2)) == 1, "the vote is repeated before the time that was set"


@scenario
def an_election_is_timed() -> None:
    """The log told how long the server had been running, not how long the election took."""
    driver = voter(1, 3)
    driver.now = 100.0
    driver.look()
    driver.now = 101.0
    driver.hear(3, looking(3, 2))
    driver.hear(2, looking(3, 2))
    decided = driver.decided()
    assert decided is not None
    assert decided.duration_s == 1, f"an election of 1 s is said to have taken {decided.duration_s:g} s"


# Who is enough


@scenario
def a_quorum_of_the_next_configuration() -> None:
    """A leader that had lost the quorum of the configuration it had proposed led on."""
    driver = voter(1, 3)
    driver.step(ConfigSeen(ensemble_of(5, version=1)))
    lease = Lease(1, driver.fle.electorate.is_quorum, length_s=2.5, margin=0.1)
    lease.answered(2, 10.0)
    assert lease.end() == -math.inf, "two of the five that are to come are enough"
    lease.answered(5, 10.0)
    assert lease.end() > 10, "two of three, and three of five, are not enough"


@scenario
def the_epoch_of_an_observer() -> None:
    """An observer made up the quorum that settles the new epoch: a voter knew of a higher one."""
    ensemble = ensemble_of({1: "participant", 2: "participant", 3: "participant", 4: "observer"})
    fresh = StateSummary(0, 0)
    discovery = Discovery(Electorate(1, LearnerType.PARTICIPANT, True, ensemble, ensemble), fresh)
    discovery.propose(1, 0, fresh)
    discovery.propose(4, 2, fresh)
    assert not discovery.proposed.open, "one voter and an observer settle the new epoch"
    discovery.propose(2, 7, fresh)
    assert discovery.new_epoch == 8, f"epoch {discovery.new_epoch} is proposed, and 7 was accepted"


@scenario
def addresses_in_another_order() -> None:
    """A configuration that was the same but for how it was resolved or ordered kept a leader from leading."""
    one, another = (
        build_ensemble({"server.1": f"{'|'.join(order)}:participant"}, 0, several_addresses=True)
        for order in (("a:1:2", "b:1:2"), ("b:1:2", "a:1:2"))
    )
    assert one.same_members(another), "the order of a server's addresses makes another configuration"
