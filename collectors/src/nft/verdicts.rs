// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a rule, the end of a chain or a policy can decide: the numbers of `enum nft_verdicts` and of `linux/netfilter.h`.

use super::wire;

/// All verdicts, in the order in which the option's help names them.
const VERDICTS: [(&str, i32); 10] = [
    ("accept", 1),
    ("drop", 0),
    ("jump", -3),
    ("goto", -4),
    ("continue", -1),
    ("break", -2),
    ("return", -5),
    ("queue", 3),
    ("stolen", 2),
    ("repeat", 4),
];

/// Stands for all of them.
pub(super) const ALL: &str = "all";

/// What the option `--nft-verdicts` takes.
pub(super) fn choices() -> impl Iterator<Item = &'static str> {
    VERDICTS.iter().map(|(name, _)| *name).chain([ALL])
}

/// The verdict of this number, when it has a name.
pub(super) fn name(code: i32) -> Option<&'static str> {
    VERDICTS.iter().find(|(_, known)| *known == code).map(|(name, _)| *name)
}

/// The bits by which the hook knows the wanted ones.
pub(super) fn bits<'a>(names: impl IntoIterator<Item = &'a str>) -> u32 {
    let bit = |code: i32| if code < 0 { wire::NFT_OWN_VERDICTS + code.unsigned_abs() } else { code.unsigned_abs() };
    names.into_iter().fold(0, |bits, wanted| {
        let chosen = VERDICTS.iter().filter(|(name, _)| *name == wanted);
        bits | if wanted == ALL { u32::MAX } else { chosen.fold(0, |bits, (_, code)| bits | 1 << bit(*code)) }
    })
}

#[cfg(test)]
mod tests {
    use super::{VERDICTS, bits, choices, name};

    #[test]
    fn each_verdict_has_a_bit_of_its_own() {
        for (index, (verdict, code)) in VERDICTS.iter().enumerate() {
            assert_eq!(name(*code), Some(*verdict));
            assert_eq!(bits([*verdict]).count_ones(), 1);
            for (other, _) in &VERDICTS[..index] {
                assert_eq!(bits([*verdict]) & bits([*other]), 0, "{verdict}, {other}");
            }
        }
        assert_eq!(bits(["drop", "accept"]), 0b11);
        assert_eq!(bits(["all"]) & bits(choices()), bits(choices()));
        assert_eq!(name(5), None);
    }
}
