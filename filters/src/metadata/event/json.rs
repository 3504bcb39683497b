// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds one value in the JSON of a section without building the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The member of an object.
    Name(String),
    /// The element of an array.
    Index(u64),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'e> {
    /// An integer; `true` is 1, `false` 0.
    Number(i128),
    /// A text.
    Text(Cow<'e, str>),
    /// An object or array.
    Container,
}

impl Scalar<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What `keys` lead to in `json`. `None` when there is nothing, or `null`, or a number with a fraction.
pub(super) fn find<'e>(json: &'e str, keys: &[Key]) -> Option<Scalar<'e>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // That it is JSON was found out when the event was read; what can fail here are numbers beyond every type.
    Search { keys }.deserialize(&mut deserializer).ok().flatten()
}

#[derive(Clone, Copy)]
struct Search<'k> {
    keys: &'k [Key],
}

impl Search<'_> {
    /// A value that is no object or array, and therefore the end.
    fn end<'de>(self, scalar: Scalar<'de>) -> Option<Scalar<'de>> {
        self.keys.is_empty().then_some(scalar)
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = Option<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = Option<Scalar<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.end(Scalar::Number(value.into())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.end(Scalar::Number(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.end(Scalar::Number(value.into())))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.end(Scalar::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(self.end(Scalar::Text(Cow::Borrowed(value))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = self.end(Scalar::Container);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match self.keys.split_first() {
                Some((Key::Name(wanted), keys)) if name.0 == wanted.as_str() => {
                    found = map.next_value_seed(Search { keys })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut found = self.end(Scalar::Container);
        for index in 0_u64.. {
            let more = match self.keys.split_first() {
                Some((Key::Index(wanted), keys)) if index == *wanted => {
                    let element = elements.next_element_seed(Search { keys })?;
                    let more = element.is_some();
                    found = element.flatten();
                    more
                }
                _ => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }
}

/// A key: borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Borrowing<'a>(#[serde(borrow)] Cow<'a, str>);
        Borrowing::deserialize(deserializer).map(|Borrowing(name)| Self(name))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Key, Scalar, find};

    const JSON: &str = r#"{ "a": {"b": [1, -2, {"c": "x\n"}], "d": null}, "e\u0041": true, "f": 18446744073709551615,
        "g": 1.5, "h": "plain", "i": 18446744073709551616 }"#;

    fn at(path: &str) -> Option<Scalar<'static>> {
        let key = |word: &str| word.parse().map_or_else(|_| Key::Name(word.to_owned()), Key::Index);
        find(JSON, &path.split_terminator('.').map(key).collect::<Vec<_>>())
    }

    #[test]
    fn finds_what_the_keys_lead_to_and_nothing_else() {
        assert_eq!(at("a.b.0"), Some(Scalar::Number(1)));
        assert_eq!(at("a.b.1"), Some(Scalar::Number(-2)));
        assert_eq!(at("a.b.2.c"), Some(Scalar::Text("x\n".into())));
        assert_eq!(at("a.b.2"), Some(Scalar::Container));
        assert_eq!(at("eA"), Some(Scalar::Number(1)));
        assert_eq!(at("f"), Some(Scalar::Number(u64::MAX.into())));
        assert!(matches!(at("h"), Some(Scalar::Text(Cow::Borrowed("plain")))));
        assert_eq!(at(""), Some(Scalar::Container));
        for nothing in ["a.b.3", "a.d", "a.x", "g", "i", "h.x", "a.b.c", "a.0", "f.0"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }
}
