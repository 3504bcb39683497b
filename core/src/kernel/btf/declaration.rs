// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Types in the words of C.

use super::{
    KIND_ARRAY, KIND_CONST, KIND_ENUM, KIND_ENUM64, KIND_FLOAT, KIND_FORWARD, KIND_FUNC_PROTO, KIND_INT, KIND_PTR,
    KIND_RESTRICT, KIND_STRUCT, KIND_TYPE_TAG, KIND_TYPEDEF, KIND_UNION, KIND_VOLATILE, Prototype, Types, read_u32,
};

/// No type of the kernel is nested deeper; a malformed one that refers to itself ends here.
const DEEPEST: u32 = 32;

impl Types<'_> {
    /// A function as C declares it: `int ip_rcv(struct sk_buff *skb, struct net_device *dev)`. The prototype must be of these
    /// types.
    pub fn declaration(&self, name: &str, prototype: &Prototype<'_>) -> String {
        let arguments =
            prototype.arguments.iter().map(|argument| self.declare(argument.type_id, argument.name, DEEPEST));
        self.declare(prototype.returns, &function(name, arguments.collect()), DEEPEST)
    }

    /// Declares `name` to be of a type. As in C, what is around the name is built from the inside.
    pub(super) fn declare(&self, id: u32, name: &str, depth: u32) -> String {
        if id == 0 {
            return join("void", name);
        }
        let (Some((btf, raw)), Some(depth)) = (self.raw(id), depth.checked_sub(1)) else { return join("?", name) };
        let own_name = self.string(raw.name).filter(|name| !name.is_empty());
        let tagged = |tag: &str| join(&format!("{tag} {}", own_name.unwrap_or("{...}")), name);
        match raw.kind {
            KIND_INT | KIND_FLOAT | KIND_TYPEDEF => join(own_name.unwrap_or("?"), name),
            KIND_STRUCT => tagged("struct"),
            KIND_UNION => tagged("union"),
            KIND_ENUM | KIND_ENUM64 => tagged("enum"),
            KIND_FORWARD => tagged(if raw.flag { "union" } else { "struct" }),
            KIND_PTR => match self.raw(raw.to).map(|(_, target)| target.kind) {
                Some(KIND_FUNC_PROTO | KIND_ARRAY) => self.declare(raw.to, &format!("(*{name})"), depth),
                _ => self.declare(raw.to, &format!("*{name}"), depth),
            },
            KIND_CONST | KIND_VOLATILE => {
                let word = if raw.kind == KIND_CONST { "const" } else { "volatile" };
                match self.raw(raw.to).map(|(_, target)| target.kind) {
                    Some(KIND_PTR) => self.declare(raw.to, &join(word, name), depth),
                    _ => format!("{word} {}", self.declare(raw.to, name, depth)),
                }
            }
            KIND_RESTRICT | KIND_TYPE_TAG => self.declare(raw.to, name, depth),
            KIND_ARRAY => {
                let element = read_u32(&btf.data, raw.at + 12).unwrap_or(0);
                let count = read_u32(&btf.data, raw.at + 20).unwrap_or(0);
                self.declare(element, &format!("{name}[{count}]"), depth)
            }
            KIND_FUNC_PROTO => {
                let arguments = self.prototype(id).map(|prototype| prototype.arguments).unwrap_or_default();
                let arguments = arguments.iter().map(|argument| self.declare(argument.type_id, argument.name, depth));
                self.declare(raw.to, &function(name, arguments.collect()), depth)
            }
            _ => join("?", name),
        }
    }
}

fn function(name: &str, mut arguments: Vec<String>) -> String {
    // Further arguments of any type end the list with one that is nameless and void.
    if let Some(last) = arguments.last_mut().filter(|last| *last == "void") {
        "...".clone_into(last);
    }
    let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
    format!("{name}({arguments})")
}

fn join(word: &str, name: &str) -> String {
    if name.is_empty() { word.to_owned() } else { format!("{word} {name}") }
}
