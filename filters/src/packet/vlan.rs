// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that ask for VLAN tags. What follows `vlan` in a text is looked for behind the tag; in libpcap's programs for files also in a
//! packet that has none, so that `not vlan and icmp` never matches. When tcpdump captures on Linux, it looks where the headers are. So here: there are two
//! programs, and the Ethernet type chooses.

use super::classic::{ClassicProgram, RawInstruction};
use super::libpcap::{self, FirstHeader};
use super::words::words;

/// Types that begin a tag, as libpcap knows them: 802.1Q, 802.1ad, and what came before that.
const TAG_TYPES: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// Where the type is in an Ethernet header.
const TYPE_OFFSET: u32 = 12;

/// Stands for `vlan` where there is no tag.
const NEVER: &str = "(len < 0)";

const LOAD_HALF: u16 = 0x28;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;

/// One program out of that for packets that have a tag, which libpcap has made of `text`, and one for those that have none.
pub(super) fn with_untagged(text: &str, tagged: ClassicProgram) -> ClassicProgram {
    let untagged = match libpcap::compile(&without_tags(text), FirstHeader::Ethernet) {
        Ok(untagged) => untagged,
        Err(reason) if reason == libpcap::REJECTS_ALL => ClassicProgram::never(),
        // The text has a meaning with tags only.
        Err(_) => return tagged,
    };
    let instruction = |code, jt, k| RawInstruction { code, jt, jf: 0, k };
    let mut program = vec![instruction(LOAD_HALF, 0, TYPE_OFFSET)];
    // Over the tests that remain, and over the jump behind them.
    let behind = (1..=TAG_TYPES.len() as u8).rev();
    program.extend(TAG_TYPES.into_iter().zip(behind).map(|(kind, jt)| instruction(JUMP_IF_EQUAL, jt, kind)));
    program.push(instruction(JUMP, 0, tagged.raw().len() as u32));
    program.extend(tagged.raw());
    program.extend(untagged.raw());
    ClassicProgram::new(program).unwrap_or(tagged)
}

/// The text as it is about packets without tags: no `vlan` in it holds.
fn without_tags(text: &str) -> String {
    let words: Vec<&str> = words(text).into_iter().map(|word| &text[word]).collect();
    let is_number = |word: Option<&&str>| word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let mut result: Vec<&str> = Vec::new();
    let mut rest = &words[..];
    while let Some((&word, behind)) = rest.split_first() {
        rest = behind;
        if word != "vlan" {
            result.push(word);
            continue;
        }
        result.push(NEVER);
        if is_number(rest.first()) {
            rest = &rest[1..];
        } else if rest.first() == Some(&"(") && is_number(rest.get(1)) && rest.get(2) == Some(&")") {
            rest = &rest[3..];
        }
    }
    result.join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_tags;

    #[test]
    fn takes_the_number_of_a_tag_along() {
        for (text, expected) in [
            ("not vlan and icmp", "not (len < 0) and icmp"),
            ("vlan 100 or (vlan(0x64)&&udp port 53)", "(len < 0) or ( (len < 0) && udp port 53 )"),
            ("vlan and (ip or arp)", "(len < 0) and ( ip or arp )"),
            (r"ether proto \vlan", r"ether proto \vlan"),
        ] {
            assert_eq!(without_tags(text), expected);
        }
    }
}
