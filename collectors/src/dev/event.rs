// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `dev`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::Clues;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// The network device that the packet is on.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct DevSection<'a> {
    /// Its name.
    pub(super) name: Cow<'a, str>,
    /// Its index, unique in its network namespace.
    pub(super) ifindex: u32,
    /// Index of the interface that the packet came in by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rx_ifindex: Option<u32>,
}

impl Section for DevSection<'_> {
    const NAME: &'static str = "dev";
    const PLACE: Place = Place::Device;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "if {}", self.ifindex)?;
        if !self.name.is_empty() {
            write!(out, " ({})", Escaped(&self.name))?;
        }
        match self.rx_ifindex {
            Some(index) => write!(out, " rxif {index}"),
            None => Ok(()),
        }
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        #[derive(Deserialize)]
        struct Device<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            ifindex: u32,
        }
        if let Ok(Device { name, ifindex }) = serde_json::from_str(json) {
            clues.device = Some((name, ifindex));
        }
    }
}
