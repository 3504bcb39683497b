// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `iptables`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::Clues;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// A table of iptables-legacy drops the packet here. Which of its rules does, the kernel does not say.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct IptablesSection<'a> {
    /// "ip", or "ip6" for tables of ip6tables-legacy; a number where it is neither.
    pub(super) family: Cow<'a, str>,
    /// The table, as "filter".
    pub(super) table: Cow<'a, str>,
    /// The built-in chain where the packet's way through the table began, as "INPUT": the rule is in it, or in one that it leads to.
    pub(super) chain: Cow<'a, str>,
    /// "drop".
    pub(super) verdict: Cow<'a, str>,
}

impl IptablesSection<'_> {
    fn write_decider(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {} {}", Escaped(&self.family), Escaped(&self.table), Escaped(&self.chain))
    }
}

impl Section for IptablesSection<'_> {
    const NAME: &'static str = "iptables";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "iptables {} by ", Escaped(&self.verdict))?;
        self.write_decider(out)
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let Ok(section) = serde_json::from_str::<Self>(json) else { return };
        let mut by = String::from("iptables-legacy ");
        // Writing to a string does not fail.
        let _ = section.write_decider(&mut by);
        clues.dropped().by = Some(by.into());
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::clues::{Clues, Fate};
    use tracer_core::event::section::Section as _;
    use tracer_core::event::text::TextOptions;

    use super::IptablesSection;

    const JSON: &str = r#"{"family":"ip","table":"filter","chain":"INPUT","verdict":"drop"}"#;

    #[test]
    fn says_who_drops() {
        let section: IptablesSection<'_> = serde_json::from_str(JSON).unwrap();
        let mut text = String::new();
        section.write_text(&mut text, &TextOptions::default()).unwrap();
        assert_eq!(text, "iptables drop by ip filter INPUT");

        let mut clues = Clues::default();
        IptablesSection::tell(JSON, &mut clues);
        let Some(Fate::Dropped(clue)) = clues.fate else { panic!("{clues:?}") };
        assert_eq!(clue.by.as_deref(), Some("iptables-legacy ip filter INPUT"));
    }
}
