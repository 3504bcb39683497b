// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a text is no packet filter, in words for its author.

use std::ops::Range;
use std::time::Instant;

use super::libpcap::{REJECTS_ALL, SYNTAX_ERROR};
use super::locate::locate;
use crate::assembler::{LONGEST_JUMP, TooFar};
use crate::error::{FilterError, Language};

/// Explains libpcap's `reason` to refuse a text. After the `deadline` it is not asked where.
pub(super) fn explain(text: &str, reason: &str, deadline: Instant) -> FilterError {
    let place = locate(text, reason, deadline);
    let problem = match &place {
        Some(place) if reason == SYNTAX_ERROR && place.is_empty() => "syntax error: the text ends too early".to_owned(),
        Some(place) if reason == SYNTAX_ERROR => format!("syntax error: unexpected `{}`", &text[place.clone()]),
        _ => restyle(reason),
    };
    let error = FilterError::new(Language::Packet, text, problem);
    let error = match place {
        Some(place) => error.at(place),
        None => error,
    };
    match hint(reason) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The text asks for the direction of packets, with the word at `place`.
pub(super) fn no_direction(text: &str, place: Range<usize>) -> FilterError {
    let problem = format!("`{}` is not known of a packet in the middle of the stack", &text[place.clone()]);
    FilterError::new(Language::Packet, text, problem)
        .at(place)
        .with_hint("probe where packets come in (`-p tp:net:netif_receive_skb`) or go out (`-p tp:net:net_dev_queue`)")
}

/// The program is larger than eBPF can express.
pub(super) fn too_large(text: &str, TooFar { instructions }: TooFar) -> FilterError {
    let problem = format!(
        "filter too large: it takes {instructions} instructions, and a jump reaches over {LONGEST_JUMP} at most"
    );
    FilterError::new(Language::Packet, text, problem)
}

fn hint(reason: &str) -> Option<&'static str> {
    match reason {
        SYNTAX_ERROR => Some("pcap-filter(7) describes the language"),
        REJECTS_ALL => Some("its terms contradict each other"),
        "ifname supported only on PF linktype" => {
            Some("a metadata filter can ask for the device: `-m 'ifname == \"eth0\"'`")
        }
        _ => None,
    }
}

/// libpcap's words in the style of this program: backticks, and a lower-case letter at the beginning.
fn restyle(reason: &str) -> String {
    let quotes = ['\'', '"'];
    let reason =
        if reason.matches(quotes).count().is_multiple_of(2) { reason.replace(quotes, "`") } else { reason.to_owned() };
    let mut characters = reason.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain([second]).chain(characters).collect()
        }
        _ => reason,
    }
}
