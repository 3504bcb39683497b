// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `skb-drop`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::Clues;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// What stands for the reason where the kernel gives none: readers want one, and its own word for "none given" is this.
pub(super) const NO_REASON: &str = "NOT_SPECIFIED";

/// The packet is dropped here. What was used up as it should be has no such section.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct SkbDropSection<'a> {
    /// Why, in the kernel's words (`enum skb_drop_reason` without the prefix, and the like of other subsystems); a number where the
    /// kernel has no name for it; NOT_SPECIFIED where it gives no reasons (5.10).
    pub(super) drop_reason: Cow<'a, str>,
    /// The subsystem whose reason it is, as `openvswitch`, `qdisc`, `mac80211_unusable`; a number where it has no name. Missing for
    /// reasons of the network core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subsys: Option<Cow<'a, str>>,
    /// Where in the kernel's code it was dropped: `symbol+0xoffset`, for a module followed by ` [module]`; an address where there is
    /// no symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<Cow<'a, str>>,
}

impl Section for SkbDropSection<'_> {
    const NAME: &'static str = "skb-drop";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        out.write_str("drop (")?;
        if let Some(subsys) = &self.subsys {
            write!(out, "{}: ", Escaped(subsys))?;
        }
        write!(out, "{})", Escaped(&self.drop_reason))?;
        match &self.location {
            Some(location) => write!(out, " at {}", Escaped(location)),
            None => Ok(()),
        }
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let Ok(SkbDropSection { drop_reason, subsys, location }) = serde_json::from_str(json) else {
            return;
        };
        let clue = clues.dropped();
        // Another event or section may know one.
        if drop_reason != NO_REASON {
            (clue.reason, clue.subsys) = (Some(drop_reason), subsys);
        }
        clue.location = location;
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::clues::{Clues, Fate};
    use tracer_core::event::section::Section as _;
    use tracer_core::event::text::TextOptions;

    use super::SkbDropSection;

    fn text(json: &str) -> String {
        let section: SkbDropSection<'_> = serde_json::from_str(json).unwrap();
        let mut text = String::new();
        section.write_text(&mut text, &TextOptions::default()).unwrap();
        text
    }

    #[test]
    fn says_why_and_where() {
        assert_eq!(text(r#"{"drop_reason":"NO_SOCKET"}"#), "drop (NO_SOCKET)");
        assert_eq!(
            text(r#"{"drop_reason":"NETFILTER_DROP","location":"nft_do_chain+0x5a [nf_tables]"}"#),
            "drop (NETFILTER_DROP) at nft_do_chain+0x5a [nf_tables]"
        );
        assert_eq!(
            text(r#"{"drop_reason":"OVS_DROP_EXPLICIT","subsys":"openvswitch"}"#),
            "drop (openvswitch: OVS_DROP_EXPLICIT)"
        );
    }

    #[test]
    fn tells_what_it_knows_of_a_drop() {
        let clue = |json| {
            let mut clues = Clues::default();
            SkbDropSection::tell(json, &mut clues);
            match clues.fate {
                Some(Fate::Dropped(clue)) => Some((clue.reason, clue.subsys, clue.location)),
                _ => None,
            }
        };
        let text = |text: &'static str| Some(text.into());
        let known = r#"{"drop_reason":"OVERLIMIT","subsys":"qdisc","location":"f+0x1"}"#;
        assert_eq!(clue(known), Some((text("OVERLIMIT"), text("qdisc"), text("f+0x1"))));
        assert_eq!(clue(r#"{"drop_reason":"NOT_SPECIFIED","location":"f+0x1"}"#), Some((None, None, text("f+0x1"))));
        assert_eq!(clue(r#"{"location":"f+0x1"}"#), None);
    }

    #[test]
    fn what_a_file_says_does_not_drive_the_terminal() {
        assert_eq!(
            text(r#"{"drop_reason":"\u001b[1m","subsys":"a\nb","location":"\u001bc"}"#),
            "drop (a\\nb: \\u{1b}[1m) at \\u{1b}c"
        );
    }
}
