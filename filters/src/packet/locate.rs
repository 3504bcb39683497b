// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where in a text libpcap finds it wrong. libpcap gives a reason but no place, so it is asked about the beginnings of the text.

use std::ops::Range;

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

/// The place for libpcap's `reason` to refuse `text`. For a syntax error it is the first word that can't stand where it does, or
/// the end of the text when something is missing there.
pub(super) fn locate(text: &str, reason: &str) -> Option<Range<usize>> {
    let words = words(text);
    if reason == REJECTS_ALL || words.is_empty() {
        return None;
    }
    if reason == SYNTAX_ERROR {
        let right = first(words.len(), |count| !can_be_continued(text, &words[..=count]));
        return Some(words.get(right).cloned().unwrap_or(text.len()..text.len()));
    }
    // The reason holds from the word on that completes what is wrong; what libpcap quotes is at that word or before it.
    let culprit = first(words.len(), |count| refuses(&beginning(text, &words[..=count], ""), reason));
    let culprit = words.get(culprit)?;
    let quoted = reason.split(['\'', '"']).nth(1).and_then(|quoted| last_occurrence(text, culprit.end, quoted));
    let word = || words.iter().rfind(|word| word.end <= culprit.end && !is_sign(&text[(*word).clone()])).cloned();
    quoted.or_else(word)
}

/// The least number below `count` for which `holds` does, given that it does for all greater ones; or `count`.
fn first(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn refuses(text: &str, reason: &str) -> bool {
    libpcap::check(text, FirstHeader::Ethernet).is_err_and(|other| other == reason)
}

/// Whether any text that begins with these words has the right syntax.
fn can_be_continued(text: &str, words: &[Range<usize>]) -> bool {
    let open = closing_brackets(text, words);
    CONTINUATIONS.iter().any(|continuation| {
        refuses_not(&beginning(text, words, continuation))
            || (0..=open.len()).any(|closed| {
                let (before, after) = open.split_at(closed);
                let begun = &text[..words.last().map_or(0, |word| word.end)];
                refuses_not(&format!("{begun} {continuation}{before} = 1{after}"))
            })
    })
}

fn refuses_not(text: &str) -> bool {
    !refuses(text, SYNTAX_ERROR)
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

/// Where `quoted` stands last before `end`, not as a part of another word.
fn last_occurrence(text: &str, end: usize, quoted: &str) -> Option<Range<usize>> {
    let in_word = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | ':');
    let places = text[..end].rmatch_indices(quoted).map(|(at, quoted)| at..at + quoted.len());
    places
        .filter(|place| !place.is_empty())
        .find(|place| !text[..place.start].ends_with(in_word) && !text[place.end..].starts_with(in_word))
}
