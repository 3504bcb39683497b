// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `nft -a list ruleset` prints: the rules in nft's own words, each with its handle behind it.
//!
//! ```text
//! table inet filter { # handle 9
//!     chain input { # handle 2
//!         type filter hook input priority filter; policy drop;
//!         tcp dport { 22, 23 } drop # handle 9
//!     }
//! }
//! ```
//!
//! Names and comments come from whoever made the rules, and nft prints them as they are. So somebody can make a line that looks like
//! another; it is read as a rule of the same network namespace, never of another one.

/// Characters of a rule that are kept: sets in it can have thousands of elements.
const MOST_TEXT: usize = 1000;

/// What stands in front of a handle.
const HANDLE: &str = " # handle ";

/// What stands behind the handle of a table that a process owns.
const PROGRAM: &str = " progname ";

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The handle of its table, which no other table of the network namespace ever had.
    pub(super) table: u64,
    /// Its own, which no other rule of the table ever had.
    pub(super) handle: u64,
    /// In nft's words.
    pub(super) text: String,
    /// Its table is managed by iptables-nft.
    pub(super) by_iptables: bool,
    /// Its table belongs to a process, and goes with that.
    pub(super) is_owned: bool,
}

/// The rules of a listing. `warnings` is what nft said beside it: which tables belong to iptables-nft.
pub(super) fn rules(listing: &str, warnings: &str) -> Vec<Rule> {
    let managed: Vec<&str> = warnings.lines().filter_map(managed_table).collect();
    let mut rules = Vec::new();
    // The handle of the table, and whether the lines are a chain's.
    let (mut table, mut by_iptables, mut is_owned, mut in_chain) = (None, false, false, false);
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let (body, depth) = (line.trim_start_matches('\t'), line.len() - line.trim_start_matches('\t').len());
        match depth {
            0 => {
                let opened = body.strip_prefix("table ").and_then(opened);
                table = opened.map(|(_, handle)| handle);
                by_iptables = opened.is_some_and(|(name, _)| managed.contains(&name));
                is_owned = body.contains(PROGRAM);
                in_chain = false;
            }
            1 => in_chain = body.strip_prefix("chain ").and_then(opened).is_some(),
            2 if in_chain => {
                if let (Some(table), Some((text, handle))) = (table, with_handle(body)) {
                    rules.push(Rule { table, handle, text: shortened(text), by_iptables, is_owned });
                }
            }
            _ => {}
        }
    }
    rules
}

/// Whether a rule switches the kernel's tracing on, as long as nobody deletes it.
pub(super) fn is_tracing(rule: &Rule) -> bool {
    // Quotes are around what others made up: comments, prefixes, names of devices.
    !rule.is_owned && rule.text.split('"').step_by(2).any(|outside| outside.contains("nftrace set "))
}

/// `filter { # handle 9`, or `t { # handle 13 progname nft` for a table that a process owns: the name, and the handle.
fn opened(text: &str) -> Option<(&str, u64)> {
    let (name, handle) = text.rsplit_once(HANDLE)?;
    Some((name.strip_suffix(" {")?, handle.split(' ').next()?.parse().ok()?))
}

/// `drop # handle 2`. In quotes it would not be the end of the line.
fn with_handle(text: &str) -> Option<(&str, u64)> {
    let (text, handle) = text.rsplit_once(HANDLE)?;
    Some((text, handle.parse().ok()?))
}

/// `# Warning: table ip filter is managed by iptables-nft, do not touch!`
fn managed_table(line: &str) -> Option<&str> {
    line.trim_start_matches(['#', ' '])
        .strip_prefix("Warning: table ")?
        .split_once(" is managed by iptables-nft")
        .map(|(name, _)| name)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{MOST_TEXT, Rule, is_tracing, rules};

    const LISTING: &str = r#"table inet filter { # handle 9
	counter cnt { # handle 4
	}

	set s { # handle 5
		type inet_service
		elements = { 1, 2,
			     3 }
	}

	map m { # handle 6
		type inet_service : verdict
		elements = { 80 : jump web }
	}

	chain web { # handle 1
		comment "of the web # handle 3"
		counter accept comment "a # handle 7 $x" # handle 7
	}

	chain input { # handle 2
		type filter hook input priority filter; policy drop;
		tcp dport vmap { 5 : drop, 6 : jump web } # handle 12
		log prefix "x } # handle 3 {" # handle 16
	}
}
table ip filter { # handle 11
	chain INPUT { # handle 1
		type filter hook input priority filter; policy accept;
		tcp dport 99  counter drop # handle 2
	}
}
table ip trc { # handle 13 progname nft
	flags owner

	chain trace { # handle 1
		meta nftrace set 1 # handle 2
	}
}
"#;

    fn rule(table: u64, handle: u64, text: &str) -> Rule {
        Rule { table, handle, text: text.to_owned(), by_iptables: false, is_owned: false }
    }

    #[test]
    fn finds_every_rule_with_its_handle() {
        let warnings = "# Warning: table ip filter is managed by iptables-nft, do not touch!\n";
        let expected = [
            rule(9, 7, r#"counter accept comment "a # handle 7 $x""#),
            rule(9, 12, "tcp dport vmap { 5 : drop, 6 : jump web }"),
            rule(9, 16, r#"log prefix "x } # handle 3 {""#),
            Rule { by_iptables: true, ..rule(11, 2, "tcp dport 99  counter drop") },
            Rule { is_owned: true, ..rule(13, 2, "meta nftrace set 1") },
        ];
        assert_eq!(rules(LISTING, warnings), expected);
        assert!(rules(LISTING, "").iter().all(|rule| !rule.by_iptables));
    }

    #[test]
    fn knows_rules_that_switch_tracing_on() {
        assert!(!rules(LISTING, "").iter().any(is_tracing), "the only one goes with a process");
        assert!(rules(&LISTING.replace(" progname nft", ""), "").iter().any(is_tracing));
        assert!(is_tracing(&rule(1, 1, r#"iifname "eth0" ip protocol icmp meta nftrace set 1 comment "x""#)));
        assert!(!is_tracing(&rule(1, 1, r#"drop comment "meta nftrace set 1""#)));
    }

    #[test]
    fn a_name_that_looks_like_a_listing_does_no_harm() {
        let hostile = "table ip a { # handle 1\n\tchain x {\n\t\tdrop # handle 4\n # handle 2\n\t\taccept # handle 5\n\t}\n}\n\
                       table ip b { # handle 2\n\tchain c { # handle 1\n\t\tdrop # handle 4\n\t}\n}\n";
        assert_eq!(rules(hostile, ""), [rule(2, 4, "drop")]);
    }

    #[test]
    fn a_long_rule_is_cut_short() {
        let listing =
            format!("table ip a {{ # handle 1\n\tchain c {{ # handle 1\n\t\t{} # handle 2\n", "é".repeat(5000));
        let found = rules(&listing, "");
        assert_eq!(found[0].text.chars().count(), MOST_TEXT + 1);
        assert!(found[0].text.ends_with('…'));
    }

    proptest! {
        #[test]
        fn anything_can_be_read(listing in any::<String>(), at in 0..LISTING.len(), insert in "[\t\n{}# handle0-9\"é]{0,40}") {
            rules(&listing, &listing);
            let at = (0..=at).rev().find(|&at| LISTING.is_char_boundary(at)).unwrap_or(0);
            rules(&LISTING[..at], LISTING);
            rules(&format!("{}{insert}{}", &LISTING[..at], &LISTING[at..]), &insert);
        }
    }
}
