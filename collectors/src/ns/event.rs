// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `netns`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::Clues;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// The network namespace that the packet is in.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct NsSection<'a> {
    /// The kernel's number for it, never given twice. Left out on kernels that give it out on demand only (5.10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cookie: Option<u64>,
    /// Its inode, as in `/proc/PID/ns/net`; given again after the namespace is gone.
    pub(super) inum: u32,
    /// Its name, when `ip netns` gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
}

impl Section for NsSection<'_> {
    const NAME: &'static str = "netns";
    const PLACE: Place = Place::Namespace;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        out.write_str("ns ")?;
        if let Some(cookie) = self.cookie {
            write!(out, "{cookie:#x}/")?;
        }
        write!(out, "{}", self.inum)?;
        match &self.name {
            Some(name) => write!(out, " ({})", Escaped(name)),
            None => Ok(()),
        }
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        if let Ok(NsSection { inum, name, .. }) = serde_json::from_str(json) {
            clues.namespace = Some((name, inum));
        }
    }
}
