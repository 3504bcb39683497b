// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sorting: compared with its definition, and checked to lose nothing.

use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use tracer_core::event::line::{EventLine, SeriesPlace};
use tracer_core::event::reader::EventReader;
use tracer_core::event::selection::Selection;
use tracer_core::event::sorted_events::SortedEvents;

use crate::{FILES, PLENTY, fixture, json_of, sorted, sorted_file, sorted_matching, unsorted_events};

/// What an event of a made-up file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Startup,
    /// The startup event of a later part of a recording.
    Part,
    Nothing,
    Loss,
    /// What was there when collection ended.
    InFlight,
    Packet(u64, u64),
}

/// An event of a made-up file. Times lie close together, so that many are equal.
#[derive(Clone, Copy, Debug)]
struct Made {
    owner: Owner,
    timestamp: u64,
    seq: Option<u64>,
    link: Option<MadeLink>,
    /// Where it was hit, and which clone: for the verdict.
    place: (&'static str, u64),
    /// Stands in a series of its own already.
    in_array: bool,
    /// What a filter says.
    matches: bool,
}

/// What an event of a packet says about another one.
#[derive(Clone, Copy, Debug)]
struct MadeLink {
    kind: &'static str,
    parent: (u64, u64),
    root: Option<(u64, u64)>,
}

/// The id of one of a few packets.
fn id() -> impl Strategy<Value = (u64, u64)> {
    (0..3u64, u64::MAX - 2..=u64::MAX)
}

fn link() -> impl Strategy<Value = Option<MadeLink>> {
    let kind = prop_oneof![Just("copy"), Just("new-kind"), Just("merge")];
    let link = (kind, id(), option::weighted(0.8, id()));
    option::weighted(0.3, link.prop_map(|(kind, parent, root)| MadeLink { kind, parent, root }))
}

fn made() -> impl Strategy<Value = Made> {
    let owner = prop_oneof![
        1 => Just(Owner::Startup),
        1 => Just(Owner::Part),
        3 => Just(Owner::Nothing),
        1 => Just(Owner::Loss),
        1 => Just(Owner::InFlight),
        20 => id().prop_map(|(time, head)| Owner::Packet(time, head)),
    ];
    let (timestamp, seq) = (0..12u64, option::of(0..6u64));
    let filter = prop_oneof![9 => Just(false), 1 => Just(true)];
    let symbols = ["ip_rcv", "net:net_dev_start_xmit", "icmp_rcv", "skb:kfree_skb", "skb:consume_skb", "anywhere"];
    let place = (select(symbols.to_vec()), 8..10u64);
    (owner, timestamp, seq, link(), place, any::<bool>(), filter).prop_map(
        |(owner, timestamp, seq, link, place, in_array, matches)| Made {
            owner,
            timestamp,
            seq,
            link,
            place,
            in_array,
            matches,
        },
    )
}

fn json(number: usize, made: &Made) -> String {
    let timestamp = made.timestamp;
    let section = match made.owner {
        Owner::Startup => r#""startup":{}"#.to_owned(),
        Owner::Part => r#""startup":{"split_file":{"id":1}}"#.to_owned(),
        Owner::Nothing => r#""unknown":[1.0, "\u0041"]"#.to_owned(),
        Owner::Loss => format!(r#""loss":[{{"cause":"ring_full","count":{}}}]"#, timestamp % 2),
        Owner::InFlight => format!(r#""in-flight":[{{"timestamp":{},"orig_head":{}}}]"#, timestamp % 3, u64::MAX - 1),
        Owner::Packet(time, head) => {
            let seq = made.seq.map_or(String::new(), |seq| format!(r#","seq":{seq}"#));
            let id = |(time, head)| format!(r#"{{"timestamp":{time},"orig_head":{head}}}"#);
            let link = made.link.map_or(String::new(), |MadeLink { kind, parent, root }| {
                let root = root.map_or(String::new(), |root| format!(r#","root":{}"#, id(root)));
                format!(r#","link":{{"kind":"{kind}","parent":{}{root}}}"#, id(parent))
            });
            let (symbol, skb) = made.place;
            format!(
                r#""skb-tracking":{{"orig_head":{head},"timestamp":{time},"skb":{skb}{seq}{link}}},"kernel":{{"symbol":"{symbol}","probe_type":"kprobe"}}"#
            )
        }
    };
    let event = format!(r#"{{"common":{{"timestamp":{timestamp}}}, {section},"number":{number}}}"#);
    if made.in_array { format!("[{event}]\n") } else { format!("{event}\n") }
}

/// An event in its place: its number, its place in the series, what was lost before it, and where it branches off.
type Placed = (usize, u64, u64, Option<u64>);

/// The definition of the order, without any cleverness; of the packets that `keep` lets through, by their events.
fn defined(events: &[Made], keep: impl Fn(&[usize]) -> bool) -> Vec<Placed> {
    let mut recordings: Vec<Vec<usize>> = vec![Vec::new()];
    for (number, event) in events.iter().enumerate() {
        if event.owner == Owner::Startup {
            recordings.push(Vec::new());
        }
        recordings.last_mut().unwrap().push(number);
    }
    recordings.iter().flat_map(|recording| defined_recording(events, recording, &keep)).collect()
}

fn defined_recording(events: &[Made], recording: &[usize], keep: impl Fn(&[usize]) -> bool) -> Vec<Placed> {
    let mut startups = Vec::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &number in recording {
        let owner = events[number].owner;
        let known = groups.iter_mut().find(|group| events[group[0]].owner == owner);
        match (owner, known) {
            (Owner::Startup | Owner::Part, _) => startups.push(vec![number]),
            (Owner::Packet(..), Some(group)) => group.push(number),
            _ => groups.push(vec![number]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|number| (events[*number].timestamp, events[*number].seq, *number));
    }
    groups.sort_by_key(|group| {
        let first = &events[group[0]];
        let (family, child) = match (first.owner, branch(first)) {
            (_, Some(link)) => (link.root.unwrap_or(link.parent), Some(first.timestamp)),
            (Owner::Packet(time, head), None) => ((time, head), None),
            _ => ((first.timestamp, 0), None),
        };
        (family, child, group[0])
    });
    let parent_idx = |group: &[usize]| {
        let first = &events[group[0]];
        let (time, head) = branch(first)?.parent;
        let parent = groups.iter().find(|group| events[group[0]].owner == Owner::Packet(time, head))?;
        let before = parent.iter().filter(|number| events[**number].timestamp <= first.timestamp).count() as u64;
        before.checked_sub(1)
    };
    let all = startups.iter().chain(groups.iter().filter(|group| keep(group)));
    all.flat_map(|group| defined_losses(events, group, parent_idx(group))).collect()
}

/// How the packet came out of another one, if the event is its first.
fn branch(event: &Made) -> Option<MadeLink> {
    event.link.filter(|link| matches!(event.owner, Owner::Packet(..)) && link.kind != "merge")
}

fn defined_losses(events: &[Made], group: &[usize], parent_idx: Option<u64>) -> Vec<Placed> {
    let is_packet = matches!(events[group[0]].owner, Owner::Packet(..));
    let mut next = 0;
    let mut placed = Vec::new();
    for (idx, &number) in group.iter().enumerate() {
        let mut lost = 0;
        if let Some(seq) = events[number].seq.filter(|_| is_packet) {
            let is_missing = |seq: &u64| group.iter().all(|other| events[*other].seq != Some(*seq));
            lost = (next..seq).filter(is_missing).count() as u64;
            next = next.max(seq + 1);
        }
        placed.push((number, idx as u64, lost, parent_idx.filter(|_| idx == 0)));
    }
    placed
}

/// Whether an event is kept for its own sake.
fn passes(made: &Made) -> bool {
    made.matches || matches!(made.owner, Owner::Startup | Owner::Part | Owner::Loss | Owner::InFlight)
}

/// What the sorter makes of the file.
fn places(sorted: &mut SortedEvents) -> Vec<Placed> {
    let mut found = Vec::new();
    while let Some(event) = sorted.next_event().unwrap() {
        let SeriesPlace { idx, lost, parent_idx } = event.place;
        found.push((number_of(&event.event), idx, lost, parent_idx));
    }
    found
}

fn number_of(event: &EventLine<'_>) -> usize {
    event.section("number").unwrap().parse().unwrap()
}

/// The numbers of the events that are selected from a file as it is read.
fn selected(file: &str, events: &[Made]) -> Vec<usize> {
    let mut reader = EventReader::new(file.as_bytes());
    let mut selection = Selection::new(Path::new("/nonexistent"));
    let mut selected = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        let number = number_of(&event.event);
        if selection.passes(&event, events[number].matches).unwrap() {
            while let Some(held) = selection.next_held().unwrap() {
                selected.push(number_of(&held.event));
            }
            selected.push(number);
        }
    }
    selected
}

proptest! {
    #[test]
    fn the_order_is_the_defined_one_for_any_interleaving_and_memory(events in vec(made(), 0..60), memory in 0..20_000usize) {
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let mut sorted = sorted(file.as_bytes(), memory);
        prop_assert_eq!(places(&mut sorted), defined(&events, |_| true));
    }

    #[test]
    fn a_filter_leaves_whole_series_for_any_interleaving_and_memory(events in vec(made(), 0..60), memory in 0..20_000usize) {
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let mut sorted = sorted_matching(file.as_bytes(), memory, |event| events[number_of(event)].matches);
        let count = sorted.count();
        let found = places(&mut sorted);
        let defined = defined(&events, |group| group.iter().any(|number| passes(&events[*number])));
        prop_assert_eq!(&found, &defined);
        prop_assert_eq!(count, found.len() as u64);
        // What is left and sorted again stays as it is.
        let kept = json_of(sorted_matching(file.as_bytes(), memory, |event| events[number_of(event)].matches));
        prop_assert_eq!(&sorted_file(kept.as_bytes(), memory), &kept);
        // The sorted file is filtered to the same.
        let selected = selected(&sorted_file(file.as_bytes(), PLENTY), &events);
        prop_assert_eq!(selected, defined.iter().map(|(number, ..)| *number).collect::<Vec<_>>());
    }

    #[test]
    fn a_packet_passes_from_its_first_match_on(mut events in vec(made(), 0..60)) {
        events.iter_mut().for_each(|event| event.in_array = false);
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let matched_before = |number: usize| {
            let recording = events[..number].rsplit(|event| event.owner == Owner::Startup).next().unwrap_or_default();
            let owner = events[number].owner;
            matches!(owner, Owner::Packet(..)) && recording.iter().any(|event| event.owner == owner && event.matches)
        };
        let passing = (0..events.len()).filter(|number| passes(&events[*number]) || matched_before(*number));
        prop_assert_eq!(selected(&file, &events), passing.collect::<Vec<_>>());
    }

    #[test]
    fn memory_changes_nothing_and_sorting_again_neither(events in vec(made(), 0..60), memory in 0..20_000usize) {
        let file: String = events.iter().enumerate().map(|(number, event)| json(number, event)).collect();
        let once = sorted_file(file.as_bytes(), PLENTY);
        prop_assert_eq!(&sorted_file(file.as_bytes(), memory), &once);
        prop_assert_eq!(&sorted_file(once.as_bytes(), memory), &once);
    }
}

#[test]
fn stored_files_keep_every_byte_of_every_event() {
    for name in FILES {
        let file = fixture(name);
        let sorted = sorted_file(file.as_bytes(), 0);
        let mut before = unsorted_events(file.as_bytes());
        let mut after = unsorted_events(sorted.as_bytes());
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after, "{name}");
        assert_eq!(sorted_file(sorted.as_bytes(), PLENTY), sorted, "{name}");
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
    let verdict = r#","verdict":{"kind":"unknown","text":"last seen here","facts":{"idx":1}}}"#;
    let last = place(event(3, r#","new":1"#), 1).strip_suffix('}').unwrap().to_owned() + verdict;
    let expected = format!("[{},{last}]\n[{lone}]\n", place(event(1, ""), 0));
    assert_eq!(sorted_file(file.as_bytes(), PLENTY), expected);
}

#[test]
fn a_loss_is_noted_where_it_happened() {
    let event = |seq| {
        format!(r#"{{"common":{{"timestamp":1}},"skb-tracking":{{"orig_head":7,"timestamp":1,"skb":8,"seq":{seq}}}}}"#)
    };
    let sorted = sorted_file(format!("{}\n{}\n", event(4), event(1)).as_bytes(), PLENTY);
    let noted = |text: &str| sorted.matches(text).count();
    assert_eq!((noted(r#""idx":0,"lost":1}"#), noted(r#""idx":1,"lost":2}"#)), (1, 1), "{sorted}");
}
