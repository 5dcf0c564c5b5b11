//! What lists of channels and ends of parties say about calls that orders moved.

use bytes::BytesMut;
use faxbot_core::{Private, Timestamp};

use super::{
    super::{legs::Plan, line::NewLine},
    *,
};
use crate::adapter::hub::Book as _;
use crate::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Role},
    session::Codec as _,
};

const PARTY: &str = "1795248000.7";

struct Desk {
    books: Books,
    id: CallId,
    now: Now,
}

impl Desk {
    /// An answered call whose settling time is over.
    fn new() -> Self {
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
        };
        let mut books = Books::new();
        books.moves.context = Some("faxbot-faxbot".to_owned());
        let id = CallId::new();
        let line = NewLine {
            id,
            to: Private::default(),
            from: None,
            ring_timeout: Duration::from_secs(60),
            plan: Plan::default(),
            on_answer: Default::default(),
        };
        books.open(line, now).unwrap();
        books.requested(id, now);
        books.taken(id, now);
        books.channel_state(id, "Up", false, now);
        books.take_todo();
        Self { books, id, now }
    }

    fn place(&self, other: Option<&str>) -> Place {
        Place {
            own: self.books.own_channel(self.id).unwrap(),
            other: other.map(str::to_owned),
            back: self.books.moves.back_to(PARK),
        }
    }

    fn hold(&mut self, other: Option<&str>) {
        let place = self.place(other);
        self.books.will_hold(self.id, &place);
        self.books.held(self.id, &place, self.now);
        assert_eq!(self.state(), CallState::OnHold);
    }

    fn state(&self) -> CallState {
        self.books.calls.state(self.id).unwrap()
    }

    fn hangs_up(&mut self, uniqueid: &str) {
        let mut bytes = BytesMut::from("Asterisk Call Manager/11.0.0\r\n");
        let event = format!("Event: Hangup\r\nUniqueid: {uniqueid}\r\nCause: 16\r\n\r\n");
        bytes.extend_from_slice(event.as_bytes());
        let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
        codec.decode(&mut bytes).unwrap().unwrap();
        let message = codec.decode(&mut bytes).unwrap().unwrap();
        self.books.event(&message, self.now);
    }

    /// The server's list shows our channel in an extension, and the party or not.
    fn listed(&mut self, exten: &str, bridge: &str, party: bool) -> Vec<SipEvent> {
        let own = self.books.own_channel(self.id).unwrap();
        let own = channel(&own, exten, bridge);
        let other = LiveChannel {
            uniqueid: PARTY.to_owned(),
            ..LiveChannel::default()
        };
        let list = [own, other];
        self.books
            .moves_in(&list[..1 + usize::from(party)], self.now)
    }
}

#[test]
fn a_held_call_whose_party_is_gone_is_hung_up() {
    let mut desk = Desk::new();
    desk.hold(Some(PARTY));
    desk.hangs_up(PARTY);
    assert_eq!(desk.books.take_todo(), [Todo::HangUp(desk.id)]);
    let mut desk = Desk::new();
    desk.hold(Some(PARTY));
    desk.listed(HOLD, "", false);
    assert_eq!(desk.books.take_todo(), [Todo::HangUp(desk.id)]);
}

#[test]
fn the_party_of_a_held_call_that_is_gone_is_hung_up() {
    let mut desk = Desk::new();
    desk.hold(Some(PARTY));
    desk.hangs_up(&desk.books.own_channel(desk.id).unwrap());
    assert!(desk.books.take_todo().contains(&Todo::LeftAlone));
    assert_eq!(desk.books.moves.left, [PARTY]);
    assert!(desk.books.moves.watched.is_empty());
}

#[test]
fn a_resumed_call_that_stayed_behind_its_party_is_hung_up() {
    for (party, bridge, exten, ends) in [
        (false, "", HOLD, true),
        (true, "", HOLD, false),
        (false, "b1", HOLD, false),
    ] {
        let mut desk = Desk::new();
        desk.hold(Some(PARTY));
        desk.books.resumed(desk.id, desk.now);
        assert_eq!(desk.state(), CallState::Connected);
        desk.hangs_up(PARTY);
        let asked = desk.books.next_timeout().unwrap();
        assert!(asked <= desk.now.instant + UNSURE);
        desk.listed(exten, bridge, party);
        let hangs_up = desk.books.take_todo() == [Todo::HangUp(desk.id)];
        assert_eq!(hangs_up, ends, "{party} {bridge:?}");
    }
}

fn channel(uniqueid: &str, exten: &str, bridge: &str) -> LiveChannel {
    LiveChannel {
        uniqueid: uniqueid.to_owned(),
        state: "Up".to_owned(),
        context: "faxbot-faxbot".to_owned(),
        exten: exten.to_owned(),
        bridge: bridge.to_owned(),
        ..LiveChannel::default()
    }
}

#[test]
fn a_call_that_was_bridged_without_its_party_is_held_still() {
    for transferred in [false, true] {
        for (partner, state, left) in [
            (None, CallState::OnHold, false),
            (Some("1795248000.9"), CallState::Connected, true),
        ] {
            let mut desk = Desk::new();
            desk.hold(Some(PARTY));
            if transferred {
                desk.books.shift(desk.id, CallState::Transferring, desk.now);
            }
            desk.books.perhaps_held(desk.id);
            let own = desk.books.own_channel(desk.id).unwrap();
            let mut list = vec![channel(&own, HOLD, "b1"), channel(PARTY, HOLD, "")];
            list.extend(partner.map(|partner| channel(partner, "s", "b1")));
            desk.books.moves_in(&list, desk.now);
            assert_eq!(desk.state(), state, "{partner:?}");
            assert_eq!(!desk.books.moves.left.is_empty(), left, "{partner:?}");
            if partner.is_none() {
                // Nobody stays behind either way.
                assert!(desk.books.is_held_with(desk.id, PARTY));
                desk.hangs_up(&own);
                assert_eq!(desk.books.moves.left, [PARTY]);
            }
        }
    }
}

#[test]
fn a_list_decides_where_a_call_is_whose_order_had_no_answer() {
    for (listed, state) in [(HOLD, CallState::OnHold), (PARK, CallState::Connected)] {
        let mut desk = Desk::new();
        let place = desk.place(None);
        desk.books.will_hold(desk.id, &place);
        desk.listed(listed, "", false);
        assert_eq!(desk.state(), state);
        desk.hold(None);
        desk.books.perhaps_held(desk.id);
        desk.listed(listed, "", false);
        assert_eq!(desk.state(), state);
    }
}

#[test]
fn a_transferred_call_is_connected_when_dial_is_over() {
    let mut desk = Desk::new();
    let events = desk.books.shift(desk.id, CallState::Transferring, desk.now);
    assert_eq!(events.len(), 1);
    // A word of its own channel's state says nothing about it.
    desk.books.channel_state(desk.id, "Up", true, desk.now);
    assert_eq!(desk.state(), CallState::Transferring);
    desk.listed("dial", "", false);
    assert_eq!(desk.state(), CallState::Connected);
}

#[test]
fn a_list_that_is_older_than_an_order_changes_nothing() {
    let mut desk = Desk::new();
    desk.hold(None);
    let line = desk.books.lines.get_mut(&desk.id).unwrap();
    line.control.settled = Some(desk.now.instant);
    desk.listed(PARK, "", false);
    assert_eq!(desk.state(), CallState::OnHold);
    // However long the server took for it.
    let asked = desk.now.instant - Duration::from_millis(1);
    desk.now.instant += 4 * SETTLED;
    desk.books.moves.listing = Some(asked);
    desk.listed(PARK, "", false);
    assert_eq!(desk.state(), CallState::OnHold);
    desk.listed(PARK, "", false);
    assert_eq!(desk.state(), CallState::Connected);
}
