// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer schema`: the JSON schema of an event.

use tracer_core::event::schema::event_schema;
use tracer_core::event::section_table::SectionTable;

use crate::output;

/// Runs `tracer schema`.
pub(crate) fn run() -> anyhow::Result<()> {
    let schema = event_schema(&SectionTable::registered()?);
    output::print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))
}
