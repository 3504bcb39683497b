// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `skb-tracking`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::core_sections::Link;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::TextOptions;

/// Which packet this is: events with the same `timestamp` and `orig_head` are of one packet.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct SkbTrackingSection<'a> {
    /// Address of the buffer that held the packet when it was first seen.
    pub(super) orig_head: u64,
    /// When it was first seen, in ns of CLOCK_MONOTONIC.
    pub(super) timestamp: u64,
    /// Address of the packet's `sk_buff`; at the return of a function, as it was at the entry.
    pub(super) skb: u64,
    /// Number of the event among all of this packet, from 0; where one is missing, it was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    /// What it has to do with another packet. Missing when nothing happened between them here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<Link<'a>>,
}

impl Section for SkbTrackingSection<'_> {
    const NAME: &'static str = "skb-tracking";
    const PLACE: Place = Place::Header;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "#{:x}{:x} (skb {:x})", self.timestamp, self.orig_head, self.skb)?;
        match &self.link {
            Some(link) => write!(out, " {link}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::section::SectionDescriptor;
    use tracer_core::event::text::TextOptions;

    use super::SkbTrackingSection;

    /// The text of a packet with this link, without the packet.
    fn text(link: &str) -> String {
        let json = format!(r#"{{"orig_head":2,"timestamp":1,"skb":3,"seq":0{link}}}"#);
        let section: SkbTrackingSection<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&section).unwrap(), json);
        let mut text = String::new();
        let descriptor = SectionDescriptor::of::<SkbTrackingSection<'static>>();
        (descriptor.write_text)(&json, &mut text, &TextOptions::default()).unwrap();
        text.strip_prefix("#12 (skb 3)").unwrap().to_owned()
    }

    #[test]
    fn says_what_it_has_to_do_with_another_packet() {
        let link = |kind: &str, root: &str| {
            text(&format!(r#","link":{{"kind":"{kind}","parent":{{"timestamp":5,"orig_head":6}}{root}}}"#))
        };
        let root = r#","root":{"timestamp":3,"orig_head":4}"#;
        assert_eq!(text(""), "");
        assert_eq!(link("copy", root), " copy of #56");
        assert_eq!(link("merge", ""), " merged with #56");
        assert_eq!(link("reassembly", ""), " reassembled with #56");
        assert_eq!(link(r"\u0007new", root), r" \u{7}new of #56");
    }
}
