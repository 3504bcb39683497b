// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the user is told on stderr about a session: what is attached, and at the end what was lost.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use tracer_core::probe::Origin;
use tracer_core::session::{LossTable, Means, SAMPLED_OUT, Sampling, Session, Summary, is_lost_event};

use super::control::lost_events;
use crate::report;

/// Says what is not as asked for. Probes that could not be attached are put together by reason: a wildcard can bring
/// hundreds.
pub(super) fn warnings(session: &Session<'_>) {
    if let Some(limits) = session.limits() {
        report::line(limits);
    }
    for warning in session.warnings() {
        report::warning(warning);
    }
    session.notes().for_each(report::line);
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (probe, outcome) in session.probes().iter().zip(&session.attach_table().outcomes) {
        if let Err(error) = outcome
            && probe.origin == Origin::Suggested
        {
            by_reason.entry(error.to_string()).or_default().push(probe.to_string());
        }
    }
    for warning in not_attached(by_reason) {
        report::warning(warning);
    }
}

/// A line for each reason, of the most common ones, and one for all others.
fn not_attached(by_reason: BTreeMap<String, Vec<String>>) -> Vec<String> {
    const PROBES: usize = 5;
    const REASONS: usize = 8;
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, probes)| Reverse(probes.len()));
    let others = reasons.split_off(reasons.len().min(REASONS));
    let line = |(reason, probes): (String, Vec<String>)| {
        let more = match probes.len().saturating_sub(PROBES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("not attached: {}{more}: {reason}", probes[..probes.len().min(PROBES)].join(", "))
    };
    let mut lines: Vec<String> = reasons.into_iter().map(line).collect();
    if !others.is_empty() {
        let probes: usize = others.iter().map(|(_, probes)| probes.len()).sum();
        lines.push(format!(
            "not attached: {probes} more, for {} other reasons, which `tracer inspect probes` says",
            others.len()
        ));
    }
    lines
}

/// The line that says that collection has begun.
pub(super) fn ready(session: &Session<'_>, after: Duration) -> String {
    let mut means: BTreeMap<&str, usize> = BTreeMap::new();
    let outcomes = &session.attach_table().outcomes;
    for attached in outcomes.iter().flatten() {
        *means.entry(attached.name()).or_default() += 1;
    }
    let means: Vec<String> = means.iter().map(|(name, count)| format!("{count} by {name}")).collect();
    let names: Vec<&str> = session.collectors().map(|collector| collector.name).collect();
    let attached = outcomes.iter().flatten().count();
    let limit = session.max_events_per_second();
    let limit = limit.map_or_else(String::new, |limit| format!("; at most {limit} events a second"));
    format!(
        "ready: {attached} of {} probes attached ({}) after {:.1} s; collectors: {}{limit}",
        outcomes.len(),
        means.join(", "),
        after.as_secs_f64(),
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )
}

/// The report at the end.
pub(super) fn print(summary: &Summary) {
    let lost = lost_events(&summary.losses);
    report::line(format_args!("{} events, {lost} lost", summary.events));
    for line in loss_table(&summary.losses) {
        report::line(line);
    }
    if let Some(sampling) = &summary.sampling {
        report::line(sampled(sampling, summary));
    }
    for remark in &summary.remarks {
        report::warning(remark);
    }
    if let Some(error) = &summary.first_unreadable {
        report::warning(format_args!(
            "records could not be read, the first because {error}; please report this defect"
        ));
    }
}

/// The largest losses, and one line for all others: each of a thousand probes can have some.
fn loss_table(losses: &LossTable) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut losses: Vec<_> = losses.iter().collect();
    losses.sort_by_key(|(_, count)| Reverse(**count));
    let (shown, others) = losses.split_at(losses.len().min(SHOWN));
    let row = |cause: &str, count: &dyn Display, place: &str| format!("  {cause:<18} {count:>12}  {place}");
    let mut lines = Vec::new();
    if !shown.is_empty() {
        lines.push(row("cause", &"count", "where"));
    }
    for (key, count) in shown {
        let note = match key.cause {
            SAMPLED_OUT => " (as asked for)",
            cause if is_lost_event(cause) => "",
            _ => " (no event lost)",
        };
        lines.push(row(key.cause, count, &format!("{}{note}", key.probe.as_deref().unwrap_or("-"))));
    }
    if !others.is_empty() {
        let count: u64 = others.iter().map(|(_, count)| **count).sum();
        lines.push(row("others", &count, &format!("{} smaller losses", others.len())));
    }
    lines
}

/// What a limit to the events in a second did.
fn sampled(sampling: &Sampling, summary: &Summary) -> String {
    let limit = sampling.max_events_per_second;
    let hits: u64 = summary.losses.iter().filter(|(key, _)| key.cause == SAMPLED_OUT).map(|(_, count)| count).sum();
    if hits == 0 {
        return format!("there were never more than {limit} events a second: nothing was left out");
    }
    let Sampling { packets, packets_left_out, .. } = sampling;
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    format!(
        "left out, to record at most {limit} events a second: {hits} hits; {packets_left_out} of {packets} packets; the share \
         that was let through was {} at the end, {} at the lowest",
        percent(sampling.share),
        percent(sampling.lowest_share),
    )
}

/// Says why the end takes a while, where it does: kernels detach single kprobes slowly.
pub(super) fn detaching(session: &Session<'_>) {
    const MANY: usize = 100;
    let outcomes = session.attach_table().outcomes.iter().flatten();
    let single = outcomes.filter(|means| **means == Means::Kprobe).count();
    if single >= MANY {
        report::line(format_args!(
            "detaching {single} kprobes, which takes a while; Ctrl-C leaves it to the kernel, in the background"
        ));
    }
}

/// Says how long detaching took.
pub(super) fn detached(after: Duration) {
    report::line(format_args!("detached in {:.1} s", after.as_secs_f64()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracer_core::session::{LossKey, LossTable};

    use super::{loss_table, not_attached};

    #[test]
    fn the_largest_losses_are_shown_and_the_rest_is_summed_up() {
        let key = |probe: u64| LossKey { cause: "ring_full", probe: Some(format!("kprobe:f{probe}")) };
        let mut losses: LossTable = (1..=30).map(|probe| (key(probe), probe)).collect();
        losses.insert(LossKey { cause: "incomplete", probe: None }, 100);
        let lines = loss_table(&losses);
        assert_eq!(lines.len(), 22);
        assert_eq!(lines[0], "  cause                     count  where");
        assert_eq!(lines[1], "  incomplete                  100  - (no event lost)");
        assert_eq!(lines[2], "  ring_full                    30  kprobe:f30");
        assert_eq!(lines[21], "  others                       66  11 smaller losses");
        assert_eq!(loss_table(&LossTable::new()), [""; 0]);
    }

    #[test]
    fn reasons_that_few_probes_have_share_a_line() {
        let mut reasons: BTreeMap<String, Vec<String>> =
            (10..30).map(|number| (format!("only `f{number}.isra.0`"), vec![format!("f{number}")])).collect();
        reasons.insert("refused".to_owned(), (0..7).map(|number| format!("g{number}")).collect());
        let lines = not_attached(reasons);
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[0], "not attached: g0, g1, g2, g3, g4 and 2 more: refused");
        assert_eq!(lines[1], "not attached: f10: only `f10.isra.0`");
        assert!(lines[8].starts_with("not attached: 13 more, for 13 other reasons"), "{lines:?}");
    }
}
