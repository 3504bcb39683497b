// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sorting: compared with its definition, and checked to lose nothing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use tracer_core::event::line::EventLine;

use crate::{FILES, events_without_tracking, fixture, sorted, sorted_file};

/// What an event of a made-up file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Startup,
    Nothing,
    Loss,
    Packet(u64, u64),
}

/// An event of a made-up file. Times lie close together, so that many are equal.
#[derive(Clone, Copy, Debug)]
struct Made {
    owner: Owner,
    timestamp: u64,
    seq: Option<u64>,
    /// Stands in a series of its own already.
    in_array: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let owner = prop_oneof![
        1 => Just(Owner::Startup),
        3 => Just(Owner::Nothing),
        1 => Just(Owner::Loss),
        20 => (0..3u64, u64::MAX - 2..=u64::MAX).prop_map(|(time, head)| Owner::Packet(time, head)),
    ];
    let (timestamp, seq) = (0..12u64, option::of(0..6u64));
    (owner, timestamp, seq, any::<bool>()).prop_map(|(owner, timestamp, seq, in_array)| Made {
        owner,
        timestamp,
        seq,
        in_array,
    })
}

fn json(number: usize, made: &Made) -> String {
    let timestamp = made.timestamp;
    let section = match made.owner {
        Owner::Startup => r#""startup":{}"#.to_owned(),
        Owner::Nothing => r#""unknown":[1.0, "\u0041"]"#.to_owned(),
        Owner::Loss => r#""loss":[]"#.to_owned(),
        Owner::Packet(time, head) => {
            let seq = made.seq.map_or(String::new(), |seq| format!(r#","seq":{seq}"#));
            format!(r#""skb-tracking":{{"orig_head":{head},"timestamp":{time},"skb":9{seq}}}"#)
        }
    };
    let event = format!(r#"{{"common":{{"timestamp":{timestamp}}}, {section},"number":{number}}}"#);
    if made.in_array { format!("[{event}]\n") } else { format!("{event}\n") }
}

/// The definition of the order, without any cleverness: the numbers of the events, in series.
fn defined(events: &[Made]) -> Vec<Vec<usize>> {
    let mut startups = Vec::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let known = groups.iter_mut().find(|group| events[group[0]].owner == event.owner);
        match (event.owner, known) {
            (Owner::Startup, _) => startups.push(vec![number]),
            (Owner::Packet(..), Some(group)) => group.push(number),
            _ => groups.push(vec![number]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|number| (events[*number].timestamp, events[*number].seq, *number));
    }
    groups.sort_by_key(|group| (events[group[0]].timestamp, group[0]));
    startups.into_iter().chain(groups).collect()
}

fn number(event: &str) -> usize {
    EventLine::parse(event).unwrap().section("number").unwrap().parse().unwrap()
}

proptest! {
    #[test]
    fn the_order_is_the_defined_one_for_any_interleaving(events in vec(made(), 0..60)) {
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let found: Vec<Vec<usize>> =
            sorted(file.as_bytes()).series().map(|series| series.events().map(number).collect()).collect();
        prop_assert_eq!(found, defined(&events));
    }

    #[test]
    fn sorting_again_changes_nothing(events in vec(made(), 0..60)) {
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let once = sorted_file(file.as_bytes());
        prop_assert_eq!(sorted_file(&once), once);
    }
}

#[test]
fn stored_files_keep_every_byte_of_every_event() {
    for name in FILES {
        let file = fixture(name);
        let sorted = sorted_file(file.as_bytes());
        let mut before: Vec<&str> = file.lines().collect();
        let mut after = events_without_tracking(&sorted);
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after, "{name}");
        assert_eq!(sorted_file(&sorted), sorted, "{name}");
    }
}

#[test]
fn each_event_of_a_packet_says_its_place() {
    let event = |time, rest| {
        format!(r#"{{"common":{{"timestamp":{time}}},"skb-tracking":{{"orig_head":7,"timestamp":1,"skb":8}}{rest}}}"#)
    };
    let lone = r#"{"common":{"timestamp":2},"new":{"x": 1e400}}"#;
    let file = format!("{}\n{lone}\n{}\n", event(3, r#","tracking":{"old":1},"new":1"#), event(1, ""));
    let tracking = |idx| format!(r#","tracking":{{"skb":{{"orig_head":7,"timestamp":1,"skb":8}},"idx":{idx}}}}}"#);
    let place = |event: String, idx| event.strip_suffix('}').unwrap().to_owned() + &tracking(idx);
    let expected = format!("[{},{}]\n[{lone}]\n", place(event(1, ""), 0), place(event(3, r#","new":1"#), 1));
    assert_eq!(String::from_utf8(sorted_file(file.as_bytes())).unwrap(), expected);
}
