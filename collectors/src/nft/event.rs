// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `nft`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::Clues;
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// The verdict that drops packets.
const DROP: &str = "drop";

/// What nftables decides about the packet here.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(super) struct NftSection<'a> {
    /// The table.
    pub(super) table_name: Cow<'a, str>,
    /// The chain.
    pub(super) chain_name: Cow<'a, str>,
    /// What is decided: "accept", "drop", "jump", "goto", "continue" (by a rule, or at the end of a chain), "break", "return", "queue",
    /// "stolen" or "repeat"; a number where it has no name.
    pub(super) verdict: Cow<'a, str>,
    /// The chain that "jump" and "goto" lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict_chain_name: Option<Cow<'a, str>>,
    /// The table's handle, never given twice in a network namespace.
    pub(super) table_handle: i64,
    /// The chain's handle.
    pub(super) chain_handle: i64,
    /// The handle of the rule that decides, never given twice in a table. Missing at the end of a chain, and for policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule_handle: Option<i64>,
    /// The policy of the chain decides.
    pub(super) policy: bool,
    /// The rule in nft's words. Missing when it was deleted before it could be read, or can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<Cow<'a, str>>,
    /// "iptables-nft" where that has made the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) made_by: Option<Cow<'a, str>>,
    /// The table's family: "ip", "ip6", "inet", "arp", "bridge" or "netdev".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<Cow<'a, str>>,
    /// Where the chain hooks in at which the packet's way through the rules began, as "input".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<Cow<'a, str>>,
    /// The priority of that chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<i32>,
}

impl NftSection<'_> {
    /// Who decides: `inet filter input rule 12 "tcp dport 22 drop"`.
    fn write_decider(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if let Some(family) = &self.family {
            write!(out, "{} ", Escaped(family))?;
        }
        write!(out, "{} {}", Escaped(&self.table_name), Escaped(&self.chain_name))?;
        match self.rule_handle {
            _ if self.policy => out.write_str(" policy")?,
            None => out.write_str(" end of chain")?,
            Some(handle) => write!(out, " rule {handle}")?,
        }
        if let Some(rule) = &self.rule {
            write!(out, " \"{}\"", Escaped(rule))?;
        }
        match &self.made_by {
            Some(maker) => write!(out, " ({})", Escaped(maker)),
            None => Ok(()),
        }
    }
}

impl Section for NftSection<'_> {
    const NAME: &'static str = "nft";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "nft {}", Escaped(&self.verdict))?;
        if let Some(target) = &self.verdict_chain_name {
            write!(out, " {}", Escaped(target))?;
        }
        out.write_str(" by ")?;
        self.write_decider(out)?;
        if let Some(hook) = &self.hook {
            write!(out, ", hook {}", Escaped(hook))?;
            if let Some(priority) = self.priority {
                write!(out, " priority {priority}")?;
            }
        }
        Ok(())
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let Ok(section) = serde_json::from_str::<Self>(json) else { return };
        if section.verdict != DROP {
            return;
        }
        let mut by = String::from("nft ");
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

    use super::NftSection;

    /// As an event has it, with these keys, too.
    fn json(verdict: &str, others: &str) -> String {
        format!(
            r#"{{"table_name":"filter","chain_name":"input","verdict":"{verdict}","table_handle":1,"chain_handle":2,"policy":false{others}}}"#
        )
    }

    fn text(json: &str) -> String {
        let section: NftSection<'_> = serde_json::from_str(json).unwrap();
        let mut text = String::new();
        section.write_text(&mut text, &TextOptions::default()).unwrap();
        text
    }

    fn by(json: &str) -> Option<String> {
        let mut clues = Clues::default();
        NftSection::tell(json, &mut clues);
        match clues.fate {
            Some(Fate::Dropped(clue)) => clue.by.map(|by| by.into_owned()),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn says_what_is_decided_and_by_whom() {
        let all = r#","rule_handle":12,"rule":"tcp dport 22 drop","family":"inet","hook":"input","priority":-5"#;
        assert_eq!(
            text(&json("drop", all)),
            "nft drop by inet filter input rule 12 \"tcp dport 22 drop\", hook input priority -5"
        );
        let jump = r#","rule_handle":3,"verdict_chain_name":"web","made_by":"iptables-nft""#;
        assert_eq!(text(&json("jump", jump)), "nft jump web by filter input rule 3 (iptables-nft)");
        assert_eq!(text(&json("continue", "")), "nft continue by filter input end of chain");
        let policy = json("accept", "").replace("false", "true");
        assert_eq!(text(&policy), "nft accept by filter input policy");
    }

    #[test]
    fn only_drops_are_an_end() {
        let rule = r#","rule_handle":12,"rule":"tcp dport 22 drop","family":"inet""#;
        assert_eq!(by(&json("drop", rule)).as_deref(), Some("nft inet filter input rule 12 \"tcp dport 22 drop\""));
        let policy = json("drop", r#","family":"inet""#).replace("false", "true");
        assert_eq!(by(&policy).as_deref(), Some("nft inet filter input policy"));
        for other in ["accept", "jump", "queue", "continue"] {
            assert_eq!(by(&json(other, rule)), None, "{other}");
        }
        assert_eq!(by("{}"), None);
    }

    #[test]
    fn what_a_file_says_does_not_drive_the_terminal() {
        let hostile = r#","rule_handle":1,"rule":"\u001b[1m\n","family":"\u001b","hook":"\u001bh","made_by":"\u001b","verdict_chain_name":"\n""#;
        for verdict in ["drop", "\\u001b[31m"] {
            let shown = text(&json(verdict, hostile));
            assert!(!shown.contains(['\u{1b}', '\n']), "{shown:?}");
        }
        assert!(!by(&json("drop", hostile)).unwrap().contains(['\u{1b}', '\n']));
    }
}
