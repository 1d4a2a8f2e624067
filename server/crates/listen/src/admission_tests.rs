//! Tables of the admission decision.
use super::*;
use std::net::IpAddr;

fn peer(name: char) -> Option<Peer> {
    (name != '-').then(|| Peer::from(IpAddr::from([127, 0, 0, name as u8])))
}

/// `a:wait@3` is a connection of peer `a` that has waited since 3; `!` marks one on which somebody signed in. Ids count from 0.
fn seen(text: &str) -> Vec<Seen> {
    let one = |(id, word): (usize, &str)| {
        let (who, rest) = word.split_once(':').unwrap();
        let (phase, since) = rest.split_once('@').unwrap();
        let phase = match phase.trim_end_matches('!') {
            "wait" => Phase::Waiting,
            "idle" => Phase::Idle,
            "body" => Phase::Receiving,
            "stream" => Phase::Streaming,
            "busy" => Phase::Active,
            other => panic!("{other}"),
        };
        Seen {
            id: id as u64,
            peer: peer(who.chars().next().unwrap()),
            phase,
            known: rest.contains('!'),
            since: since.parse().unwrap(),
            buffered: 0,
        }
    };
    text.split_whitespace().enumerate().map(one).collect()
}

fn room(seen: &[Seen], newcomer: Option<Peer>, connections: usize, per_peer: usize, most_waiting: usize) -> Room {
    let of_peer = seen.iter().filter(|s| s.peer == newcomer).count();
    let waiting = seen.iter().filter(|s| s.phase == Phase::Waiting).count();
    Room {
        open: seen.len(),
        of_peer,
        waiting,
        connections,
        per_peer,
        most_waiting,
        pressed: false,
        spent: false,
        in_vain: false,
    }
}

#[test]
fn a_full_listener_gives_up_what_matters_least() {
    use Decision::{Admit, Evict, Refuse};
    for (open, newcomer, decision) in [
        // Room left.
        ("a:wait@1 a:wait@2 a:wait@3", 'b', Admit),
        // Full: first what waits, the oldest of the peer with most of them.
        ("a:wait@2 a:wait@1 b:wait@0 b:busy@0", 'c', Evict(1)),
        ("a:busy@0 a:stream@0 b:idle@5 a:idle@4", 'c', Evict(3)),
        // Nobody signed in goes before somebody signed in, whatever the age.
        ("a:idle!@0 a:idle@9 a:idle!@1 a:busy@0", 'c', Evict(1)),
        ("a:body@3 a:idle@4 a:wait@5 a:stream@0", 'c', Evict(2)),
        // A flood of idle connections before another peer's handshake.
        ("a:idle@9 a:idle@8 a:idle@7 b:wait@0", 'c', Evict(2)),
        // Signed in and idle: only where the peer has more than the newcomer's would have.
        ("a:idle!@3 a:idle!@2 a:busy@0 b:idle!@0", 'c', Evict(1)),
        ("a:idle!@3 b:idle!@2 c:idle!@0 d:idle!@0", 'e', Refuse(Reason::Full)),
        // Streams last, of the peer with most of them.
        ("a:stream@1 a:stream@2 a:stream@3 b:stream@0", 'c', Evict(0)),
        ("a:stream@1 a:stream@2 b:stream@0 b:stream@0", 'a', Refuse(Reason::Full)),
        // Nobody loses an answer that is being made.
        ("a:busy@1 a:busy@2 a:busy@3 a:busy@0", 'c', Refuse(Reason::Full)),
        // Behind a proxy, before it named the client.
        ("-:wait@1 -:wait@0 a:stream@0 a:stream@0", '-', Evict(1)),
    ] {
        let (table, newcomer) = (seen(open), peer(newcomer));
        assert_eq!(
            admit(&room(&table, newcomer, 4, 9, 9), newcomer, || table.clone()),
            decision,
            "{open} + {newcomer:?}"
        );
    }
}

#[test]
fn a_peer_at_its_cap_gives_up_its_own() {
    use Decision::{Admit, Evict, Refuse};
    for (open, newcomer, decision) in [
        ("a:busy@1 b:wait@0", 'a', Admit),
        ("a:busy@1 a:wait@2 b:wait@0", 'a', Evict(1)),
        ("a:idle@1 a:wait@2 b:wait@0", 'a', Evict(1)),
        ("a:idle!@1 a:stream@2 b:wait@0", 'a', Refuse(Reason::Peer)),
        ("a:stream@1 a:stream@2 b:wait@0", 'a', Refuse(Reason::Peer)),
        ("a:stream@1 a:stream@2 b:wait@0", 'b', Admit),
    ] {
        let (table, newcomer) = (seen(open), peer(newcomer));
        assert_eq!(
            admit(&room(&table, newcomer, 9, 2, 9), newcomer, || table.clone()),
            decision,
            "{open} + {newcomer:?}"
        );
    }
}

#[test]
fn only_so_many_wait_for_a_head() {
    use Decision::{Admit, Evict};
    for (open, decision) in [
        ("a:wait@1 b:idle@0", Admit),
        ("a:wait@1 b:wait@0 a:wait@2", Evict(0)),
        ("a:wait@1 a:idle@0 a:wait@0", Evict(2)),
    ] {
        let table = seen(open);
        assert_eq!(admit(&room(&table, peer('c'), 9, 9, 2), peer('c'), || table.clone()), decision, "{open}");
    }
}

#[test]
fn the_largest_head_goes_first() {
    let mut table = seen("a:wait@1 b:idle@0 b:wait@2");
    assert_eq!(largest(&table), None);
    (table[0].buffered, table[1].buffered) = (100, 200);
    assert_eq!(largest(&table), Some(1));
}

proptest::proptest! {
    /// A flood from one address, whatever it does with its connections, keeps no other address out while any of it is not being answered.
    #[test]
    fn another_address_is_served(phases in proptest::collection::vec(0..4, 8), since in proptest::collection::vec(0u64..100, 8)) {
        let phase = |n: &i32| [Phase::Waiting, Phase::Idle, Phase::Receiving, Phase::Streaming][*n as usize];
        let table: Vec<Seen> = phases.iter().zip(&since).enumerate()
            .map(|(id, (n, since))| Seen { id: id as u64, peer: peer('a'), phase: phase(n), known: n % 2 == 0, since: *since, buffered: 0 }).collect();
        let decided = admit(&room(&table, peer('b'), 8, 99, 99), peer('b'), || table.clone());
        proptest::prop_assert!(matches!(decided, Decision::Evict(_)), "{:?}", decided);
    }
}

#[test]
fn a_peer_that_has_had_its_share_of_evictions_is_refused_at_a_cap_without_a_search() {
    let asked = || -> Vec<Seen> { panic!("a search costs time") };
    let free = Room {
        open: 5,
        of_peer: 2,
        waiting: 1,
        connections: 10,
        per_peer: 3,
        most_waiting: 4,
        pressed: false,
        spent: true,
        in_vain: false,
    };
    for (room, want) in [
        (free, Decision::Admit),
        (Room { waiting: 4, ..free }, Decision::Refuse(Reason::Peer)),
        (Room { open: 10, ..free }, Decision::Refuse(Reason::Full)),
        (Room { pressed: true, ..free }, Decision::Refuse(Reason::Descriptors)),
    ] {
        assert_eq!(admit(&room, Some(Peer::User(1)), asked), want, "{room:?}");
    }
    // At its own cap a peer's newest connection takes the place of its oldest idle one, however many came before.
    let own = seen("a:idle@1 a:stream@2 a:wait@3");
    let at_own_cap = Room { spent: true, ..room(&own, peer('a'), 10, 3, 4) };
    assert_eq!(admit(&at_own_cap, peer('a'), || own.clone()), Decision::Evict(2));
    // Nobody could make room a moment ago: the next newcomer does not look again.
    let in_vain = Room { in_vain: true, ..at_own_cap };
    assert_eq!(admit(&in_vain, peer('a'), asked), Decision::Refuse(Reason::Peer));
}
