// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Looks for the fields that tshark finds in our text.

mod checks;

use regex::Regex;

use crate::tshark::Layers;
use checks::CHECKS;

/// Fields that stand together, and the expression that finds them.
struct Check {
    /// Their names in tshark. Those of one header have the same number of values.
    fields: &'static [&'static str],
    /// Makes an expression out of their values. `None`: these values are not shown.
    form: fn(&[&str]) -> Option<String>,
    /// Of a packet that an ICMP error quotes, these fields are not shown.
    whole: bool,
}

/// What came out of a comparison.
pub(crate) struct Outcome {
    /// The first field of each check that found something to compare, as often as it did.
    pub(crate) compared: Vec<&'static str>,
    /// What was looked for in vain.
    pub(crate) missing: Vec<String>,
}

/// The names of all fields that are compared.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = CHECKS.iter().flat_map(|check| check.fields).chain(&[QUOTES, QUOTES6]).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The first field of each check.
pub(crate) fn checks() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.fields[0])
}

/// The types of messages that may quote a packet.
const QUOTES: &str = "icmp.type";
const QUOTES6: &str = "icmpv6.type";

/// Looks for all fields. Values of one check must stand in the text in the order in which they are in the packet.
pub(crate) fn compare(layers: &Layers, text: &str) -> Outcome {
    let mut outcome = Outcome { compared: Vec::new(), missing: Vec::new() };
    let quotes = values(layers, QUOTES).iter().any(|kind| matches!(kind.as_str(), "3" | "4" | "5" | "11" | "12"))
        || values(layers, QUOTES6).iter().any(|kind| matches!(kind.as_str(), "1" | "2" | "3" | "4" | "137"));
    for check in CHECKS {
        let columns: Vec<_> = check.fields.iter().map(|field| values(layers, field)).collect();
        let count = columns.iter().map(|column| column.len()).min().unwrap_or_default();
        let mut rest = text;
        for index in 0..count {
            let row: Vec<&str> = columns.iter().map(|column| column[index].as_str()).collect();
            let Some(form) = (check.form)(&row) else {
                continue;
            };
            outcome.compared.push(check.fields[0]);
            match Regex::new(&form).unwrap().find(rest) {
                // Expressions may look at what follows the field, where the next one begins.
                Some(found) => rest = &rest[found.start() + 1..],
                None if check.whole && quotes && index == count - 1 => {}
                None => outcome.missing.push(format!("{} = {}: {form}", check.fields.join(", "), row.join(", "))),
            }
        }
    }
    outcome
}

fn values<'a>(layers: &'a Layers, field: &str) -> &'a [String] {
    layers.get(field).map(Vec::as_slice).unwrap_or_default()
}
