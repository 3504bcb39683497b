// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer inspect kernel`.

use std::fmt::Write as _;

use tracer_core::collector;
use tracer_core::kernel::Kernel;
use tracer_core::overview::{Overview, Trial};

use super::FormatName;
use crate::output;

/// Shows what the machine offers.
pub(super) fn run(kernel: &Kernel, format: FormatName) -> anyhow::Result<()> {
    let collectors = collector::all()?;
    let overview = Overview::new(kernel, &collectors, Trial::run(kernel));
    let text = match format {
        FormatName::Json => format!("{}\n", serde_json::to_string_pretty(&overview)?),
        FormatName::Text => text(&overview),
    };
    output::print(&text)
}

/// Lines of a label, an answer, and more about it, under headings.
struct Table(String);

impl Table {
    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "{}{text}", if self.0.is_empty() { "" } else { "\n" });
    }

    fn row(&mut self, label: &str, answer: &str, note: &str) {
        let line = format!("  {label:<32} {answer:<8} {note}");
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

fn yes(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

fn text(overview: &Overview) -> String {
    let mut table = Table(String::new());
    table.heading("kernel");
    table.row("release", &overview.release, "");
    table.row("version", &overview.version, "");
    table.row("architecture", &overview.architecture, "");

    table.heading("this process");
    let permission = &overview.privileges;
    let needed = permission.needed.join(", ");
    let note = match (permission.sufficient, permission.in_user_namespace) {
        (true, _) => format!("{needed} are enough"),
        (false, true) => "in a user namespace, as of a container, no capability counts for tracing".to_owned(),
        (false, false) => format!("of {needed} it lacks {}", permission.missing.join(", ")),
    };
    table.row("may use all of it", yes(permission.sufficient), &note);

    table.heading("what the kernel tells");
    for source in &overview.sources {
        table.row(source.name, yes(source.readable), &source.note);
    }
    if let Some(packets) = &overview.packets {
        table.row("functions with a packet", &packets.functions.to_string(), "");
        table.row("of which can be probed", &packets.probeable_functions.to_string(), "");
        table.row("tracepoints with a packet", &packets.tracepoints.to_string(), "");
    }

    table.heading("what the kernel can");
    if let Some(error) = &overview.features.error {
        table.row("eBPF", "no", error);
    }
    for feature in &overview.features.found {
        let note = feature.limit.map_or_else(|| feature.about.to_owned(), |limit| format!("this kernel {limit}"));
        table.row(feature.name, yes(feature.available), &note);
    }

    table.heading("settings");
    table.row("lockdown", overview.lockdown.unwrap_or("unknown"), "");
    for setting in &overview.settings {
        let value = setting.value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        table.row(setting.name, &value, "");
    }
    table.row("kprobes armed", overview.kprobes_enabled.map_or("unknown", yes), "");
    let blacklist = overview.kprobe_blacklist.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    table.row("functions closed to kprobes", &blacklist, "");

    table.heading("modules loaded");
    for module in &overview.modules {
        table.row(module.name, yes(module.loaded), "");
    }

    table.heading("collectors that can run");
    for state in &overview.collectors {
        let note = match &state.why_not {
            // That is said above.
            why_not if why_not.is_some() && *why_not == overview.features.error => "no eBPF".to_owned(),
            Some(why_not) => why_not.clone(),
            None if state.limits.is_empty() => String::new(),
            None => format!("this kernel {}", state.limits.join("; it ")),
        };
        table.row(state.name, yes(state.available), &note);
    }
    table.0
}
