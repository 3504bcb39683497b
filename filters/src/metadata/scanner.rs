// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From characters to words, values and operators. Which of them a `:` or a `.` belongs to depends on where it stands: in
//! `2001:db8::1` and `10.0.0.1` to a value, in `sk_buff._nfct:0x7` and `sk_buff.len` not.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::syntax::{BitOperation, Literal, Relation};
use crate::error::{FilterError, Language};

/// What stands between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `||`, `or`
    Or,
    /// `&&`, `and`
    And,
    /// `==` and its like.
    Relation(Relation),
    /// `&` and its like.
    Bits(BitOperation),
}

/// As they are written; of two that begin alike the longer comes first.
const OPERATORS: [(&str, Operator); 13] = [
    ("||", Operator::Or),
    ("&&", Operator::And),
    ("==", Operator::Relation(Relation::Equal)),
    ("!=", Operator::Relation(Relation::NotEqual)),
    ("<<", Operator::Bits(BitOperation::ShiftLeft)),
    (">>", Operator::Bits(BitOperation::ShiftRight)),
    ("<=", Operator::Relation(Relation::LessOrEqual)),
    (">=", Operator::Relation(Relation::GreaterOrEqual)),
    ("<", Operator::Relation(Relation::Less)),
    (">", Operator::Relation(Relation::Greater)),
    ("&", Operator::Bits(BitOperation::And)),
    ("|", Operator::Bits(BitOperation::Or)),
    ("^", Operator::Bits(BitOperation::Xor)),
];

/// The text and how far it is read.
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset of what comes next, white space skipped.
    pub(super) fn at(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// An error at a place in the text.
    pub(super) fn error(&self, at: usize, message: impl Into<String>) -> FilterError {
        error_at(self.text, at, message)
    }

    /// An error about what comes next.
    pub(super) fn unexpected(&mut self, expected: &str) -> FilterError {
        let at = self.at();
        let found = match self.rest().chars().next() {
            None => "the end".to_owned(),
            Some(first) => {
                let word: String = self.rest().chars().take_while(|&character| is_word(character)).take(40).collect();
                format!("`{}`", if word.is_empty() { first.escape_debug().to_string() } else { word })
            }
        };
        self.error(at, format!("{expected} is expected, but here is {found}"))
    }

    /// Takes `symbol` if it is next.
    pub(super) fn take(&mut self, symbol: &str) -> bool {
        self.at();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes `symbol` if it follows without white space.
    pub(super) fn take_adjacent(&mut self, symbol: &str) -> bool {
        self.rest().starts_with(symbol) && self.take(symbol)
    }

    /// Takes the word if it is next, and not just the beginning of another.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.at();
        let found = identifier(self.rest()) == word;
        if found {
            self.at += word.len();
        }
        found
    }

    /// The name that is next; empty when there is none.
    pub(super) fn identifier(&mut self) -> &'t str {
        self.at();
        let name = identifier(self.rest());
        self.at += name.len();
        name
    }

    /// The operator that is next, with its length.
    pub(super) fn peek_operator(&mut self) -> Option<(Operator, usize)> {
        self.at();
        match identifier(self.rest()) {
            "or" => return Some((Operator::Or, 2)),
            "and" => return Some((Operator::And, 3)),
            _ => {}
        }
        let (written, operator) = OPERATORS.iter().find(|(written, _)| self.rest().starts_with(written))?;
        Some((*operator, written.len()))
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The number that is next: decimal, `0x1f`, `0b101` or `0o17`.
    pub(super) fn number(&mut self) -> Result<u64, FilterError> {
        let at = self.at();
        let word = prefix_of(self.rest(), |character| character.is_ascii_alphanumeric() || character == '_');
        if !word.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.unexpected("a number"));
        }
        let (digits, radix) = match word.get(..2) {
            Some("0x" | "0X") => (&word[2..], 16),
            Some("0b" | "0B") => (&word[2..], 2),
            Some("0o" | "0O") => (&word[2..], 8),
            Some(two) if two.starts_with('0') => {
                let error = self.error(at, format!("is `{word}` octal or decimal?"));
                let digits = word.trim_start_matches('0');
                return Err(error.with_hint(format!("write `0o{digits}` or `{digits}`")));
            }
            _ => (word, 10),
        };
        if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(self.error(at, format!("`{word}` is no number")));
        }
        let number = u64::from_str_radix(digits, radix);
        let number = number.map_err(|_| self.error(at, format!("`{word}` is more than 64 bits can hold")))?;
        self.at += word.len();
        Ok(number)
    }

    /// The value that is next: a text, an address or a number. `None` when what comes is a word.
    pub(super) fn literal(&mut self) -> Result<Option<Literal>, FilterError> {
        let at = self.at();
        if let Some(quote) = self.rest().chars().next().filter(|first| matches!(first, '"' | '\'')) {
            return self.quoted(quote).map(Some);
        }
        if self.take("-") {
            let number = i128::from(self.number()?);
            if number > 1 << 63 {
                return Err(self.error(at, format!("-{number} is less than 64 bits can hold")));
            }
            return Ok(Some(Literal::Number(-number)));
        }
        if self.take("~") {
            return Ok(Some(Literal::Number(!i128::from(self.number()?))));
        }
        let word = prefix_of(self.rest(), |character| character.is_ascii_alphanumeric() || ":._".contains(character));
        if let Some(address) = address(word) {
            self.at += word.len();
            return self.prefix_length(address).map(Some);
        }
        if !word.starts_with(|first: char| first.is_ascii_digit() || first == ':') {
            return Ok(None);
        }
        if word.contains(':') {
            return Err(self.error(at, format!("`{word}` is neither an IPv6 address nor an Ethernet address")));
        }
        if word.contains('.') {
            return Err(self.error(at, format!("`{word}` is no IPv4 address")));
        }
        Ok(Some(Literal::Number(self.number()?.into())))
    }

    /// `/24` behind an address.
    fn prefix_length(&mut self, address: Literal) -> Result<Literal, FilterError> {
        if matches!(address, Literal::Mac(_)) || !self.take_adjacent("/") {
            return Ok(address);
        }
        let at = self.at();
        let length = self.number()?;
        let is_within = |bits: u32| u32::try_from(length).ok().filter(|&length| length <= bits);
        let shortened = match address {
            Literal::Ipv4(ip, bits) => is_within(bits).map(|length| Literal::Ipv4(ip, length)),
            Literal::Ipv6(ip, bits) => is_within(bits).map(|length| Literal::Ipv6(ip, length)),
            _ => None,
        };
        shortened.ok_or_else(|| self.error(at, format!("an address has fewer bits than {length}")))
    }

    fn quoted(&mut self, quote: char) -> Result<Literal, FilterError> {
        let start = self.at;
        let (mut text, mut prefix) = (String::new(), false);
        let mut characters = self.text[start..].char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.at = start + index + 1;
                return Ok(Literal::Text { text, prefix });
            }
            let escaped = match character {
                '\\' => characters.next().map(|(_, escaped)| escaped),
                '*' if self.text[start + index + 1..].starts_with(quote) => {
                    prefix = true;
                    continue;
                }
                _ => {
                    text.push(character);
                    continue;
                }
            };
            text.push(match escaped {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(itself @ ('\\' | '"' | '\'' | '*')) => itself,
                Some(other) => {
                    let error = self.error(start + index, format!("`\\{}` is no escape", other.escape_debug()));
                    return Err(error.with_hint(r#"the escapes are `\\`, `\"`, `\'`, `\*`, `\n` and `\t`"#));
                }
                None => break,
            });
        }
        Err(self.error(start, format!("the closing {quote} of a text is missing")))
    }
}

/// An error at a place in the text: the word, the value or the character that is there.
pub(super) fn error_at(text: &str, at: usize, message: impl Into<String>) -> FilterError {
    let rest = &text[at..];
    let word = match rest.chars().next() {
        Some('0'..='9') => prefix_of(rest, |character| is_word(character) || ".:/".contains(character)),
        _ => prefix_of(rest, is_word),
    };
    let length = if word.is_empty() { rest.chars().next().map_or(0, char::len_utf8) } else { word.len() };
    FilterError::new(Language::Metadata, text, message).at(at..at + length)
}

/// An address, when the whole word is one.
fn address(word: &str) -> Option<Literal> {
    if let Ok(ip) = word.parse::<Ipv4Addr>() {
        return Some(Literal::Ipv4(ip, Ipv4Addr::BITS));
    }
    if let Ok(ip) = word.parse::<Ipv6Addr>() {
        return Some(Literal::Ipv6(ip, Ipv6Addr::BITS));
    }
    mac(word).map(Literal::Mac)
}

/// An Ethernet address, when the whole word is one.
pub(super) fn mac(word: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut groups = word.split(':');
    for byte in &mut mac {
        let group = groups.next().filter(|group| (1..=2).contains(&group.len()))?;
        *byte = u8::from_str_radix(group, 16).ok()?;
    }
    groups.next().is_none().then_some(mac)
}

/// A name of C, or of a section of events: these have dashes, but only in front of a letter.
fn identifier(text: &str) -> &str {
    if !text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return "";
    }
    let mut end = 0;
    for (index, character) in text.char_indices() {
        let is_dash = character == '-' && text[index + 1..].starts_with(|next: char| next.is_ascii_alphabetic());
        if !is_word(character) && !is_dash {
            break;
        }
        end = index + character.len_utf8();
    }
    &text[..end]
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn prefix_of(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|character| !belongs(character)).unwrap_or(text.len())]
}
