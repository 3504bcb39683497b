// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options of all commands that show events.

use clap::{Args, ValueEnum};
use tracer_core::event::clock::TimeStyle;
use tracer_core::event::print::{Format, PrintOptions};
use tracer_core::event::text::TextOptions;

/// How events are shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct DisplayArgs {
    /// The form in which events are shown
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
    /// Show the link-layer header of packets
    #[arg(short = 'e', long = "print-ll")]
    link_layer: bool,
    /// Show times as UTC instead of as nanoseconds of the monotonic clock
    #[arg(long)]
    utc: bool,
    /// Show times in the local time zone
    #[arg(long, conflicts_with = "utc")]
    local: bool,
    /// Show times as seconds since the first event
    #[arg(long, conflicts_with_all = ["utc", "local"])]
    relative: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatName {
    /// A header line and an indented line for each section
    #[default]
    #[value(alias = "multi-line")]
    Text,
    /// One line for each event
    SingleLine,
    /// JSON, as in the file
    Json,
}

impl DisplayArgs {
    /// The options as the core has them.
    pub(crate) fn options(&self) -> PrintOptions {
        let format = match self.format {
            FormatName::Text => Format::Text,
            FormatName::SingleLine => Format::SingleLine,
            FormatName::Json => Format::Json,
        };
        let time = match (self.utc, self.local, self.relative) {
            (true, ..) => TimeStyle::Utc,
            (_, true, _) => TimeStyle::Local,
            (.., true) => TimeStyle::Relative,
            _ => TimeStyle::Monotonic,
        };
        PrintOptions { format, time, text: TextOptions { link_layer: self.link_layer } }
    }
}
