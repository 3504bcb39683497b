// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words of a text in libpcap's language: names, numbers, addresses, and signs of one or two characters.

use std::ops::Range;

/// Signs; the long ones first.
const SIGNS: [&str; 24] = [
    "&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "(", ")", "[", "]", "!", "&", "|", "+", "*", "/", "%", "^", "<",
    ">", "=", ",",
];

/// Where the words of `text` are, in bytes.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let space = rest.len() - rest.trim_start().len();
        let length = if space > 0 { space } else { word_length(rest) };
        if space == 0 {
            words.push(at..at + length);
        }
        at += length;
    }
    words
}

/// The length of the word that `text` begins with.
fn word_length(text: &str) -> usize {
    if let Some(sign) = SIGNS.iter().find(|&&sign| text.starts_with(sign)) {
        return sign.len();
    }
    text.find(|character: char| character.is_whitespace() || SIGNS.iter().any(|sign| sign.starts_with(character)))
        .unwrap_or(text.len())
}

/// Whether a word is a sign: no name, number or address.
pub(super) fn is_sign(word: &str) -> bool {
    SIGNS.contains(&word)
}

/// The first of the words that is one of `keywords`. (A backslash in front makes a keyword a name.)
pub(super) fn find_keyword(text: &str, keywords: &[&str]) -> Option<Range<usize>> {
    words(text).into_iter().find(|word| keywords.contains(&&text[word.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_spaces_and_signs() {
        let text = r"tcp[0:2]<<1!=80&&(host \vlan or ether host 0:1:2:3:4:5)";
        let words: Vec<_> = words(text).into_iter().map(|word| &text[word]).collect();
        let expected = [
            "tcp",
            "[",
            "0:2",
            "]",
            "<<",
            "1",
            "!=",
            "80",
            "&&",
            "(",
            "host",
            r"\vlan",
            "or",
            "ether",
            "host",
            "0:1:2:3:4:5",
            ")",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn finds_keywords_only() {
        let vlan = |text| find_keyword(text, &["vlan"]).map(|word| word.start);
        assert_eq!(vlan("not(vlan)"), Some(4));
        assert_eq!(vlan("tcp&&vlan 5"), Some(5));
        for text in [r"host \vlan", "host vlan.example", "port vlan-2", "tcp"] {
            assert_eq!(vlan(text), None, "{text}");
        }
    }
}
