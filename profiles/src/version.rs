// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing the version of the kernel.

use std::cmp::Ordering;
use std::str::FromStr;

/// The version in a kernel's release, as `uname -r` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version([u32; 3]);

impl Version {
    /// Reads the leading numbers of a release such as `6.12.107+deb13-amd64`; a patch level that is not there is 0. `None` when
    /// it does not begin with two numbers.
    pub(crate) fn of_release(release: &str) -> Option<Self> {
        let numbers = release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut parts = numbers.split('.').map(u32::from_str);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return None };
        let patch = parts.next().and_then(Result::ok).unwrap_or_default();
        Some(Self([major, minor, patch]))
    }
}

/// Comparisons that a version has to fulfil, all of them: `>= 6.1, < 6.12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionRange(Vec<Comparison>);

impl VersionRange {
    pub(crate) fn contains(&self, version: Version) -> bool {
        self.0.iter().all(|comparison| comparison.holds(version))
    }
}

impl FromStr for VersionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    /// One to three numbers. Only these are compared, so `= 6.1` holds for every 6.1.x.
    numbers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Longer signs stand before those that they begin with.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
];

impl Comparison {
    fn holds(&self, version: Version) -> bool {
        let ordering = version.0[..self.numbers.len()].cmp(&self.numbers);
        match self.operator {
            Operator::Less => ordering == Ordering::Less,
            Operator::LessOrEqual => ordering != Ordering::Greater,
            Operator::Equal => ordering == Ordering::Equal,
            Operator::NotEqual => ordering != Ordering::Equal,
            Operator::GreaterOrEqual => ordering != Ordering::Less,
            Operator::Greater => ordering == Ordering::Greater,
        }
    }
}

impl FromStr for Comparison {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?.trim_start())))
            .and_then(|(operator, version)| {
                let numbers = version.split('.').map(number).collect::<Option<Vec<_>>>()?;
                (numbers.len() <= 3).then_some(Self { operator, numbers })
            })
            .ok_or_else(|| format!("`{text}` does not compare a kernel version, as `>= 6.1` does"))
    }
}

/// Digits only: `u32::from_str` would also take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Version, VersionRange};

    fn holds(range: &str, release: &str) -> bool {
        range.parse::<VersionRange>().unwrap().contains(Version::of_release(release).unwrap())
    }

    #[test]
    fn finds_the_version_in_the_releases_of_distributions() {
        for (release, version) in [
            ("6.12.107+deb13-amd64", [6, 12, 107]),
            ("5.10.0-46-amd64", [5, 10, 0]),
            ("5.14.0-427.13.1.el9_4.x86_64", [5, 14, 0]),
            ("6.8.0-1021-aws", [6, 8, 0]),
            ("7.2-rc3", [7, 2, 0]),
            ("7.2+", [7, 2, 0]),
            ("6.1.0.1-custom", [6, 1, 0]),
            ("4.19", [4, 19, 0]),
        ] {
            assert_eq!(Version::of_release(release), Some(Version(version)), "{release}");
        }
        for release in ["", "6", "linux", "v6.1", "6.", ".1", "6.x", "99999999999.1"] {
            assert_eq!(Version::of_release(release), None, "{release}");
        }
    }

    #[test]
    fn compares_only_the_numbers_that_are_written() {
        for (range, release, expected) in [
            (">= 6.1", "6.1.0-18-amd64", true),
            (">= 6.1", "6.0.19", false),
            (">=6.2", "6.12.107+deb13-amd64", true),
            ("> 6.12", "6.12.107", false),
            ("> 6.12.106", "6.12.107", true),
            ("<= 6.12", "6.12.107", true),
            ("<= 6.12.0", "6.12.107", false),
            ("= 6.12", "6.12.107", true),
            ("== 6.1", "6.12.107", false),
            ("= 6.10", "6.1.0", false),
            ("!= 6.12", "6.12.107", false),
            ("< 7", "6.12.107", true),
            (">= 7", "7.2", true),
            (">= 6.1, < 6.12", "6.6.30", true),
            (">= 6.1 , < 6.12", "6.12.0", false),
        ] {
            assert_eq!(holds(range, release), expected, "{release} {range}");
        }
    }

    #[test]
    fn refuses_what_does_not_compare() {
        for range in [
            "",
            "6.1",
            "~> 6.1",
            ">=",
            ">= 6.1,",
            ">= six",
            "= 6.1.0.2",
            ">= 6.1-rc1",
            ">= 6..1",
            ">= +6",
            "=> 6.1",
            ">= -1",
        ] {
            assert!(range.parse::<VersionRange>().is_err(), "{range}");
        }
    }

    proptest! {
        #[test]
        fn orders_like_tuples_whatever_the_suffix(a in any::<[u16; 3]>(), b in any::<[u16; 3]>(), suffix in "([-+][a-z0-9.+_-]{0,20})?") {
            let release = format!("{}.{}.{}{suffix}", a[0], a[1], a[2]);
            let other = format!("{}.{}.{}", b[0], b[1], b[2]);
            prop_assert_eq!(holds(&format!("< {other}"), &release), a < b);
            prop_assert_eq!(holds(&format!("<= {other}"), &release), a <= b);
            prop_assert_eq!(holds(&format!("= {other}"), &release), a == b);
            prop_assert_eq!(holds(&format!("!= {other}"), &release), a != b);
            prop_assert_eq!(holds(&format!(">= {other}"), &release), a >= b);
            prop_assert_eq!(holds(&format!("> {other}"), &release), a > b);
            prop_assert_eq!(holds(&format!("= {}.{}", a[0], a[1]), &release), true);
        }

        #[test]
        fn takes_any_text_without_panic(text in any::<String>()) {
            let _ = text.parse::<VersionRange>();
            let _ = Version::of_release(&text);
        }
    }
}
