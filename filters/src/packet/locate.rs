// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where in a text libpcap finds it wrong. libpcap gives a reason but no place, so it is asked about the beginnings of the text.
//! That takes dozens of answers. For each libpcap looks up the names of hosts, and with hundreds of terms it takes seconds: there are
//! limits.

use std::ops::Range;
use std::time::Instant;

use super::libpcap::{self, FirstHeader, REJECTS_ALL, SYNTAX_ERROR};
use super::words::{is_sign, words};

/// What can make a beginning of a text complete: one of these, the brackets that are open, and maybe a comparison.
const CONTINUATIONS: [&str; 12] = [
    "",
    "1",
    "tcp",
    "1.2.3.4",
    "1:2:3:4:5:6",
    "1-2",
    "1.2",
    "255.0.0.0",
    "port 1",
    "dst port 1",
    "dst host 1.2.3.4",
    "name",
];

/// Nothing is searched for in a text of more words.
const MOST_WORDS: usize = 300;

/// The place for libpcap's `reason` to refuse `text`, if it is found before the `deadline`. For a syntax error it is the first word
/// that can't stand where it does, or the end of the text when something is missing there.
pub(super) fn locate(text: &str, reason: &str, deadline: Instant) -> Option<Range<usize>> {
    let words = words(text);
    if reason == REJECTS_ALL || words.is_empty() {
        return None;
    }
    if reason == SYNTAX_ERROR {
        let right = first(words.len(), |count| Some(!can_be_continued(text, &words[..=count], deadline)?))?;
        return Some(words.get(right).cloned().unwrap_or(text.len()..text.len()));
    }
    let quoted = reason.split(['\'', '"']).nth(1).unwrap_or_default();
    let mut places = occurrences(text, quoted);
    if let (Some(only), None) = (places.next(), places.next()) {
        return Some(only);
    }
    // The reason holds from the word on that completes what is wrong; what libpcap quotes is at that word or before it.
    let culprit = first(words.len(), |count| refuses(&beginning(text, &words[..=count], ""), reason, deadline))?;
    let end = words.get(culprit)?.end;
    let word = || words.iter().rfind(|word| word.end <= end && !is_sign(&text[(*word).clone()])).cloned();
    occurrences(text, quoted).filter(|place| place.end <= end).last().or_else(word)
}

/// The least number below `count` for which `holds` does, given that it does for all greater ones; or `count`. `None` when there
/// are too many, or `holds` could not tell.
fn first(count: usize, holds: impl Fn(usize) -> Option<bool>) -> Option<usize> {
    if count > MOST_WORDS {
        return None;
    }
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// Whether libpcap refuses `text` for this `reason`. `None` when it is too late to ask.
fn refuses(text: &str, reason: &str, deadline: Instant) -> Option<bool> {
    let is_late = Instant::now() >= deadline;
    (!is_late).then(|| libpcap::check(text, FirstHeader::Ethernet).is_err_and(|other| other == reason))
}

/// Whether any text that begins with these words has the right syntax.
fn can_be_continued(text: &str, words: &[Range<usize>], deadline: Instant) -> Option<bool> {
    let begun = &text[..words.last().map_or(0, |word| word.end)];
    let open = closing_brackets(text, words);
    for continuation in CONTINUATIONS {
        let compared = (0..=open.len()).map(|closed| {
            let (before, after) = open.split_at(closed);
            format!("{begun} {continuation}{before} = 1{after}")
        });
        for text in std::iter::once(beginning(text, words, continuation)).chain(compared) {
            if !refuses(&text, SYNTAX_ERROR, deadline)? {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// The beginning of `text` up to the last of `words`, with `continuation`, and all brackets closed.
fn beginning(text: &str, words: &[Range<usize>], continuation: &str) -> String {
    let begun = &text[..words.last().map_or(0, |word| word.end)];
    format!("{begun} {continuation}{}", closing_brackets(text, words))
}

/// What closes the brackets that are open behind `words`.
fn closing_brackets(text: &str, words: &[Range<usize>]) -> String {
    let mut open = Vec::new();
    for word in words {
        match &text[word.clone()] {
            "(" => open.push(')'),
            "[" => open.push(']'),
            ")" | "]" => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}

/// Where `quoted` stands, not as a part of another word.
fn occurrences(text: &str, quoted: &str) -> impl Iterator<Item = Range<usize>> {
    let in_word = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | ':');
    let places = text.match_indices(quoted).map(|(at, quoted)| at..at + quoted.len());
    places
        .filter(|place| !place.is_empty())
        .filter(move |place| !text[..place.start].ends_with(in_word) && !text[place.end..].starts_with(in_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_found_without_asking() {
        let past = Instant::now();
        let locate = |text: &str, reason: &str| locate(text, reason, past).map(|place| place.start);
        assert_eq!(locate("tcp and host nowhere", "unknown host 'nowhere'"), Some(13));
        assert_eq!(locate("host nowhere or port nowhere", "unknown host 'nowhere'"), None);
        assert_eq!(locate("tcp tcp", SYNTAX_ERROR), None);
    }

    #[test]
    fn in_long_texts_nothing_is_searched_for() {
        let locate = |ports: usize| {
            let deadline = Instant::now() + std::time::Duration::from_secs(1000);
            locate(&format!("{}and tcp", "port 1 or ".repeat(ports)), SYNTAX_ERROR, deadline)
        };
        assert_eq!(locate(99), Some(990..993));
        assert_eq!(locate(3000), None);
    }
}
