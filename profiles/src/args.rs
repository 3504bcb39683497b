// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options that a profile sets.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A long option of a command, with its value if it has one. Shown as it would stand on a command line: `--snaplen=100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The name, without the dashes.
    pub option: String,
    /// The value; none for a flag.
    pub value: Option<String>,
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.option)?;
        // With `=`, a value that begins with a dash is not taken for another option.
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

/// A profile is passed around and run by root. What runs a program, writes to a file of any name, or changes the system stays
/// with the person at the keyboard.
const COMMAND_LINE_ONLY: [&str; 3] = ["allow-system-changes", "cmd", "out"];

/// Options of one entry, and bytes of their values. The limits are far from what anybody needs; they are there because a small
/// file with aliases (`*name`) can stand for any amount.
const MOST_ARGS: usize = 4096;
const MOST_BYTES: usize = 256 * 1024;

/// The map `args`, in its order; a list gives its option several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args(pub(crate) Vec<Arg>);

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArgsVisitor;

        impl<'de> Visitor<'de> for ArgsVisitor {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from options to their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args, A::Error> {
                let mut args = Vec::new();
                let mut seen = HashSet::new();
                let mut bytes = 0;
                while let Some(option) = map.next_key_seed(OptionName { seen: &seen })? {
                    let Values(values) = map.next_value()?;
                    bytes += values.iter().flatten().map(String::len).sum::<usize>();
                    args.extend(values.into_iter().map(|value| Arg { option: option.clone(), value }));
                    if args.len() > MOST_ARGS || bytes > MOST_BYTES {
                        return Err(de::Error::custom("there are too many or too long values"));
                    }
                    seen.insert(option);
                }
                Ok(Args(args))
            }
        }

        deserializer.deserialize_map(ArgsVisitor)
    }
}

/// Reads the name of an option that is not there yet.
struct OptionName<'a> {
    seen: &'a HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for OptionName<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OptionName<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an option")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // A name is stored with each value, so its length counts.
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
            let message = format!("`{name}` is no option: it takes the long name, without the dashes");
            return Err(E::custom(message));
        }
        if COMMAND_LINE_ONLY.contains(&name) {
            return Err(E::custom(format!("`{name}` can be set on the command line only")));
        }
        if self.seen.contains(name) {
            return Err(E::custom(format!("`{name}` is set twice; a list gives an option several values")));
        }
        Ok(name.to_owned())
    }
}

/// What is set for one option: each element is one time that it is given.
struct Values(Vec<Option<String>>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;

        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false, or a list of texts and numbers")
            }

            fn visit_bool<E: de::Error>(self, given: bool) -> Result<Values, E> {
                Ok(Values(if given { vec![None] } else { Vec::new() }))
            }

            /// A key without a value: the option is a flag.
            fn visit_unit<E: de::Error>(self) -> Result<Values, E> {
                Ok(Values(vec![None]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Values, E> {
                ScalarVisitor.visit_u64(number).map(Values::one)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Values, E> {
                ScalarVisitor.visit_i64(number).map(Values::one)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Values, E> {
                ScalarVisitor.visit_f64(number).map(Values::one)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Values, E> {
                ScalarVisitor.visit_str(text).map(Values::one)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                let mut bytes = 0;
                while let Some(Scalar(value)) = list.next_element()? {
                    bytes += value.len();
                    values.push(Some(value));
                    if values.len() > MOST_ARGS || bytes > MOST_BYTES {
                        return Err(de::Error::custom("the list is too long"));
                    }
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(ValuesVisitor)
    }
}

impl Values {
    fn one(value: String) -> Self {
        Self(vec![Some(value)])
    }
}

/// A text or a number.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        if number.is_finite() {
            Ok(number.to_string())
        } else {
            Err(E::custom(format!("{number} is no number to count with")))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        // A long filter may well have several lines.
        if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(E::custom("the text contains control characters"));
        }
        Ok(text.to_owned())
    }
}
