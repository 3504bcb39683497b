// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where in an event a member is, and what it can be compared with: by the schema of the event format.

use serde_json::Value as Json;
use tracer_core::event::schema::event_schema;
use tracer_core::event::section_table::SectionTable;
use tracer_core::similar::{did_you_mean, similar};

use super::json::Key;
use crate::error::FilterError;
use crate::metadata::scanner::error_at;
use crate::metadata::syntax::{Comparison, Literal, Path, StepKind};

/// Short names.
const SHORT_NAMES: [(&str, &str); 6] = [
    ("netns", "netns.inum"),
    ("ifname", "dev.name"),
    ("ifindex", "dev.ifindex"),
    ("mark", "skb.meta.mark"),
    ("pid", "common.task.pid"),
    ("comm", "common.task.comm"),
];

/// Members of the kernel's `struct sk_buff`, and of what it points to, that events hold.
const RECORDED: [(&str, &str); 20] = [
    ("len", "skb.meta.len"),
    ("data_len", "skb.meta.data_len"),
    ("hash", "skb.meta.hash"),
    ("ip_summed", "skb.meta.ip_summed"),
    ("csum", "skb.meta.csum"),
    ("csum_level", "skb.meta.csum_level"),
    ("priority", "skb.meta.priority"),
    ("mark", "skb.meta.mark"),
    ("nohdr", "skb.data_ref.nohdr"),
    ("cloned", "skb.data_ref.cloned"),
    ("fclone", "skb.data_ref.fclone"),
    ("users.refs.counter", "skb.data_ref.users"),
    ("vlan_proto", "skb.vlan_accel.proto"),
    ("skb_iif", "dev.rx_ifindex"),
    ("dev.name", "dev.name"),
    ("dev.ifindex", "dev.ifindex"),
    ("dev.nd_net.net.ns.inum", "netns.inum"),
    ("dev.nd_net.net.net_cookie", "netns.cookie"),
    ("sk.__sk_common.skc_net.net.ns.inum", "netns.inum"),
    ("sk.__sk_common.skc_net.net.net_cookie", "netns.cookie"),
];

/// Sections that a file may hold though nothing in this program writes them: Retis has them.
const FOREIGN_SECTIONS: [&str; 1] = ["ovs-detrace"];

/// The members of events.
pub(super) struct Fields<'t> {
    text: &'t str,
    schema: Json,
}

/// Where in an event a member is.
pub(super) struct Field<'s> {
    pub(super) section: String,
    pub(super) keys: Vec<Key>,
    /// As it is called in messages.
    name: String,
    /// What it can be: one of these. `None` when that is not known.
    schemas: Option<Vec<&'s Json>>,
}

impl<'t> Fields<'t> {
    pub(super) fn new(text: &'t str, sections: &SectionTable) -> Self {
        Self { text, schema: event_schema(sections).to_value() }
    }

    /// Finds the member that a path leads to.
    pub(super) fn find(&self, path: &Path) -> Result<Field<'_>, FilterError> {
        let mut keys = Vec::new();
        for step in &path.steps {
            let key = match &step.kind {
                StepKind::Member(name) => Key::Name(name.clone()),
                StepKind::Index(index) => Key::Index(*index),
                StepKind::Cast(_) => return Err(self.error(step.at, "types are for the kernel; an event has none")),
                StepKind::Mask(_) => return Err(self.error(step.at, "a mask in front of what is no pointer")),
            };
            keys.push((key, step.at));
        }
        let known = match path.root.as_str() {
            "sk_buff" => return self.recorded(path, &keys),
            root if keys.is_empty() => SHORT_NAMES.iter().find(|(name, _)| *name == root).map(|(_, place)| *place),
            _ => None,
        };
        match known {
            Some(place) => self.placed(&path.root, place, path.at),
            None if self.is_section(&path.root) => self.member(path, keys),
            None => {
                let short = SHORT_NAMES.iter().map(|(name, _)| *name);
                let roots = self.sections().chain(FOREIGN_SECTIONS).chain(short).chain(["sk_buff"]);
                let hint = did_you_mean(&similar(&path.root, roots)).unwrap_or_else(|| {
                    let sections: Vec<&str> = self.sections().collect();
                    format!("the sections are `{}`", sections.join("`, `"))
                });
                let message = format!("`{}` is neither a section of events nor `sk_buff` nor a short name", path.root);
                Err(self.error(path.at, message).with_hint(hint))
            }
        }
    }

    /// Refuses what can never hold.
    pub(super) fn check(&self, field: &Field<'_>, comparison: &Comparison) -> Result<(), FilterError> {
        let at = comparison.value.as_ref().map_or(comparison.operand.path.at, |value| value.at);
        let literal = comparison.value.as_ref().map(|value| &value.literal);
        let wanted: &[&str] = match literal {
            None if comparison.operand.operations.is_empty() => return Ok(()),
            None | Some(Literal::Number(_)) => &["integer", "boolean"],
            Some(_) => &["string"],
        };
        if !comparison.operand.operations.is_empty() && wanted == ["string"] {
            return Err(self.error(at, "what bit operations leave is a number"));
        }
        if let Some(literal) = literal.filter(|literal| !literal.has_order() && !comparison.relation.is_equality()) {
            return Err(self.error(at, format!("{} are compared by `==` and `!=` only", literal.plural())));
        }
        let types = field.types();
        if types.is_empty() || types.iter().any(|found| wanted.contains(found)) {
            return Ok(());
        }
        let name = &field.name;
        let what = match types[..] {
            ["string"] => "a text",
            ["integer"] => "a number",
            ["boolean"] => "true or false",
            _ => {
                return Err(self.error(at, format!("`{name}` is no single value")).with_hint("name one of its fields"));
            }
        };
        Err(self.error(at, format!("`{name}` is {what}")))
    }

    /// A member of the kernel's `struct sk_buff`.
    fn recorded(&self, path: &Path, keys: &[(Key, usize)]) -> Result<Field<'_>, FilterError> {
        if keys.is_empty() {
            return Err(self
                .error(path.at, "`sk_buff` alone is no value")
                .with_hint("name a member, e.g. `sk_buff.len`"));
        }
        let names: Vec<String> = keys.iter().map(|(key, _)| key.to_string()).collect();
        let name = names.join(".");
        let at = keys.first().map_or(path.at, |(_, at)| *at);
        match RECORDED.iter().find(|(member, _)| *member == name) {
            Some((_, place)) => self.placed(&format!("sk_buff.{name}"), place, at),
            None => {
                let hint = did_you_mean(&similar(&name, RECORDED.iter().map(|(member, _)| *member)));
                let hint = hint.unwrap_or_else(|| {
                    let members: Vec<&str> = RECORDED.iter().map(|(member, _)| *member).collect();
                    format!("recorded are `{}`", members.join("`, `"))
                });
                Err(self.error(at, format!("`sk_buff.{name}` is not in events")).with_hint(hint))
            }
        }
    }

    /// What stands at a place of which the program knows itself.
    fn placed(&self, name: &str, place: &str, at: usize) -> Result<Field<'_>, FilterError> {
        let mut words = place.split('.');
        let root = words.next().unwrap_or_default();
        let keys = words.map(|word| (Key::Name(word.to_owned()), at)).collect();
        let path = Path { at, root: root.to_owned(), steps: Vec::new() };
        if !self.is_section(root) {
            return Err(self.error(at, format!("`{name}` is in the section `{root}`, which this program has not")));
        }
        Ok(Field { name: name.to_owned(), ..self.member(&path, keys)? })
    }

    fn member(&self, path: &Path, keys: Vec<(Key, usize)>) -> Result<Field<'_>, FilterError> {
        let mut name = path.root.clone();
        let section = &self.schema["properties"][&path.root];
        let mut schemas = (!section.is_null()).then(|| self.alternatives(section));
        for (key, at) in &keys {
            let Some(known) = schemas.as_deref() else { break };
            schemas = match self.inner(known, key) {
                Ok(inner) => inner,
                Err(fields) => {
                    let message = format!("`{name}` has no `{key}`");
                    let wanted = key.to_string();
                    return Err(self.error(*at, message).with_hint_if(did_you_mean(&similar(&wanted, fields))));
                }
            };
            name = format!("{name}.{key}");
        }
        let keys = keys.into_iter().map(|(key, _)| key).collect();
        Ok(Field { section: path.root.clone(), keys, name, schemas })
    }

    /// What `key` leads to from one of `schemas`: `None` when nothing is known about that; what would be known as an error.
    fn inner<'s>(&'s self, schemas: &[&'s Json], key: &Key) -> Result<Option<Vec<&'s Json>>, Vec<&'s str>> {
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for schema in schemas {
            match key {
                Key::Name(name) => {
                    let Some(properties) = schema["properties"].as_object() else { continue };
                    names.extend(properties.keys().map(String::as_str));
                    found.extend(properties.get(name).map(|inner| self.alternatives(inner)).into_iter().flatten());
                }
                Key::Index(_) => {
                    let items = Some(&schema["items"]).filter(|items| !items.is_null());
                    found.extend(items.map(|inner| self.alternatives(inner)).into_iter().flatten());
                }
            }
        }
        let is_open = schemas.iter().any(|schema| schema["type"].is_null());
        match found.is_empty() {
            false => Ok(Some(found)),
            true if is_open => Ok(None),
            true => Err(names),
        }
    }

    /// All that a schema can stand for, with references followed and without `null`.
    fn alternatives<'s>(&'s self, schema: &'s Json) -> Vec<&'s Json> {
        if let Some(reference) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
            return self.alternatives(&self.schema["$defs"][reference]);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[key].as_array() {
                return choices.iter().flat_map(|choice| self.alternatives(choice)).collect();
            }
        }
        if schema["type"] == "null" { Vec::new() } else { vec![schema] }
    }

    fn is_section(&self, name: &str) -> bool {
        self.sections().chain(FOREIGN_SECTIONS).any(|known| known == name)
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    fn error(&self, at: usize, message: impl Into<String>) -> FilterError {
        error_at(self.text, at, message)
    }
}

impl Field<'_> {
    /// The types that it can have in JSON; none when that is not known.
    fn types(&self) -> Vec<&str> {
        let mut types = Vec::new();
        for schema in self.schemas.iter().flatten() {
            match &schema["type"] {
                Json::String(one) => types.push(one.as_str()),
                Json::Array(several) => {
                    types.extend(several.iter().filter_map(Json::as_str).filter(|one| *one != "null"))
                }
                _ => return Vec::new(),
            }
        }
        types.sort_unstable();
        types.dedup();
        types
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}
