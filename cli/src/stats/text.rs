// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The numbers as tables.

use std::fmt::Write as _;

use tracer_core::event::statistics::{Count, Counts, DropPlace, Loss, Named, Statistics};
use tracer_core::event::talk::{Talk, TalkCounts};
use tracer_core::event::text::Escaped;
use tracer_core::session::SAMPLED_OUT;

/// All tables that have something in them, each with at most `top` lines.
pub(super) fn text(statistics: &Statistics, top: usize) -> String {
    let mut tables = Tables { text: String::new(), top };
    tables.overview(statistics);
    tables.probes(statistics);
    tables.counts("links between packets", &statistics.links, |Named { name }| name.clone());
    tables.counts("verdicts", &statistics.verdicts, |Named { name }| name.clone());
    tables.counts("events that tell of drops", &statistics.drops, drop_place);
    tables.counts("lost", &statistics.losses, loss);
    tables.flows(statistics);
    tables.text
}

struct Tables {
    text: String,
    top: usize,
}

impl Tables {
    fn line(&mut self, line: &str) {
        // Names come from files.
        let _ = writeln!(self.text, "{}", Escaped(line.trim_end()));
    }

    fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(heading);
    }

    fn overview(&mut self, statistics: &Statistics) {
        let Statistics { recordings, duration_ns, events, series, .. } = statistics;
        let seconds = *duration_ns as f64 / 1e9;
        self.heading("overview");
        self.line(&format!("  {:<16} {recordings:>12}", "recordings"));
        self.line(&format!("  {:<16} {seconds:>12.3} s", "duration"));
        self.line(&format!("  {:<16} {:>12}", "events", events.all));
        self.line(&format!("  {:<16} {:>12}", "of packets", events.of_packets));
        self.line(&format!("  {:<16} {:>12}", "packets", series.packets));
        if series.packets > 0 {
            let (min, mean, max) = (series.min_events, series.mean_events, series.max_events);
            self.line(&format!("  {:<16} {min:>12} at least, {mean:.1} on average, {max} at most", "events of each"));
            self.line(&format!("  {:<16} {:>12} missing between them", "", series.lost));
        }
    }

    fn probes(&mut self, statistics: &Statistics) {
        let all = statistics.events.all.max(1) as f64;
        let share = |count: u64| format!("{:>5.1}%  ", count as f64 / all * 100.0);
        self.table("events by probe", &statistics.probes, share, |Named { name }| name.clone());
    }

    fn counts<K>(&mut self, heading: &str, counts: &Counts<K>, name: impl Fn(&K) -> String) {
        self.table(heading, counts, |_| String::new(), name);
    }

    /// The largest counts, each with a note and its name, and the sum of the rest.
    fn table<K>(
        &mut self,
        heading: &str,
        counts: &Counts<K>,
        note: impl Fn(u64) -> String,
        name: impl Fn(&K) -> String,
    ) {
        if counts.counts.is_empty() {
            return;
        }
        self.heading(heading);
        let (shown, rest) = counts.counts.split_at(counts.counts.len().min(self.top));
        let mut row = |count: u64, name: &str| self.line(&format!("  {count:>12}  {}{name}", note(count)));
        for Count { count, of } in shown {
            row(*count, &name(of));
        }
        let sum = rest.iter().fold(counts.others, |sum, Count { count, .. }| sum.saturating_add(*count));
        match rest.len() {
            _ if counts.others > 0 => row(sum, &format!("others, more than {}", rest.len())),
            0 => {}
            others => row(sum, &format!("others, {others}")),
        }
    }

    fn flows(&mut self, statistics: &Statistics) {
        let flows = &statistics.flows;
        if flows.all == 0 {
            return;
        }
        let plural = if flows.all == 1 { "" } else { "s" };
        self.heading(&format!("{} flow{plural}, those with the most packets first", flows.all));
        self.line(&format!(
            "  {:>10} {:>10} {:>12} {:>12} {:>10}  flow (> from the end that was seen first, < back)",
            "packets >", "packets <", "bytes >", "bytes <", "events"
        ));
        for Talk { protocol, from, to, forward, backward } in &flows.top {
            let TalkCounts { packets, bytes, events } = forward;
            let row = format!(
                "  {packets:>10} {:>10} {bytes:>12} {:>12} {:>10}  {protocol} {from} > {to}",
                backward.packets,
                backward.bytes,
                events + backward.events
            );
            self.line(&row);
        }
        if statistics.series.packets == 0 {
            self.line("  without collector `skb-tracking`, packets can't be told apart: the order is that of events");
        }
        if flows.left_out > 0 {
            self.line(&format!("  {} more flows with {} packets", flows.left_out, flows.left_out_packets));
        }
    }
}

fn drop_place(drop: &DropPlace) -> String {
    let DropPlace { reason, subsys, location, by, probe } = drop;
    let mut text = reason.clone().unwrap_or_else(|| "no reason known".to_owned());
    if let Some(subsys) = subsys {
        text = format!("{subsys}: {text}");
    }
    if let Some(by) = by {
        let _ = write!(text, " by {by}");
    }
    if let Some(place) = location.as_ref().or(probe.as_ref()) {
        let _ = write!(text, " at {place}");
    }
    text
}

fn loss(loss: &Loss) -> String {
    let Loss { cause, probe, is_lost_event } = loss;
    let place = probe.as_ref().map_or_else(String::new, |probe| format!(" at {probe}"));
    let note = match (&**cause, is_lost_event) {
        (SAMPLED_OUT, _) => " (as asked for)",
        (_, true) => "",
        (_, false) => " (no event lost)",
    };
    format!("{cause}{place}{note}")
}
