// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the user is told on stderr about a session: what is attached, and at the end what was lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tracer_core::probe::Origin;
use tracer_core::session::{Means, SAMPLED_OUT, Sampling, Session, Summary, is_lost_event};

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
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (probe, outcome) in session.probes().iter().zip(&session.attach_table().outcomes) {
        if let Err(error) = outcome
            && probe.origin == Origin::Suggested
        {
            by_reason.entry(error.to_string()).or_default().push(probe.to_string());
        }
    }
    for (reason, probes) in by_reason {
        const SHOWN: usize = 5;
        let more = match probes.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = &probes[..probes.len().min(SHOWN)];
        report::warning(format_args!("not attached: {}{more}: {reason}", shown.join(", ")));
    }
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
pub(super) fn print(session: &Session<'_>, summary: &Summary) {
    let lost = lost_events(&summary.losses);
    report::line(format_args!("{} events, {lost} lost", summary.events));
    if !summary.losses.is_empty() {
        let mut table = format!("  {:<18} {:>12}  where", "cause", "count");
        for (key, count) in &summary.losses {
            let note = match key.cause {
                SAMPLED_OUT => " (as asked for)",
                cause if is_lost_event(cause) => "",
                _ => " (no event lost)",
            };
            let place = key.probe.as_deref().unwrap_or("-");
            // Writing to a string does not fail.
            let _ = write!(table, "\n  {:<18} {count:>12}  {place}{note}", key.cause);
        }
        for line in table.lines() {
            report::line(line);
        }
    }
    if let Some(sampling) = &summary.sampling {
        report::line(sampled(sampling, summary));
    }
    if let Some(error) = &summary.first_unreadable {
        report::warning(format_args!(
            "records could not be read, the first because {error}; please report this defect"
        ));
    }
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
