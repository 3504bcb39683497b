// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the text of a metadata filter, by precedence climbing. From the loosest to the tightest: `||`; `&&`; `not`; comparisons;
//! `|`; `^`; `&`; shifts; `!`, `-`, `~`. That is C's order, except that bit operations bind tighter than comparisons, as
//! everybody means it: `mark & 0xff == 1`.

use super::scanner::{Operator, Scanner};
use super::syntax::{BitOperation, Comparison, Condition, Literal, Operand, Path, Relation, Step, StepKind, Value};
use crate::error::{FilterError, Language};

/// Parentheses and negations within each other. Whatever goes through conditions does so by recursion.
const DEEPEST: u32 = 64;

/// No text that a human or a script writes is longer.
const LONGEST: usize = 16 * 1024;

const LEVEL_OR: u8 = 0;
const LEVEL_AND: u8 = 1;
const LEVEL_RELATION: u8 = 2;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Condition, FilterError> {
    if text.len() > LONGEST {
        let beginning: String = text.chars().take(60).chain("...".chars()).collect();
        let message = format!("it has {} bytes; at most {LONGEST} are read", text.len());
        return Err(FilterError::new(Language::Metadata, &beginning, message));
    }
    let mut parser = Parser { scanner: Scanner::new(text), depth: 0 };
    let node = parser.expression(LEVEL_OR)?;
    parser.scanner.at();
    match parser.scanner.rest() {
        "" => parser.condition(node, false),
        rest => {
            let hint = match rest {
                _ if rest.starts_with("->") => Some("members behind pointers are written with `.` too"),
                _ if rest.starts_with('=') => Some("equal is `==`"),
                _ => None,
            };
            let expected = if rest.starts_with(')') { "an operator or the end" } else { "an operator" };
            Err(parser.scanner.unexpected(expected).with_hint_if(hint))
        }
    }
}

/// Reads the path in `text`, which is the program's own.
pub(super) fn parse_path(text: &str) -> Result<Path, FilterError> {
    Parser { scanner: Scanner::new(text), depth: 0 }.path()
}

/// A piece of the text, not yet known to make sense.
struct Node {
    at: usize,
    kind: Kind,
}

enum Kind {
    Operand(Operand),
    Value(Literal),
    Comparison(Comparison),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// In parentheses; what is in there is not merged with what is around.
    Group(Box<Node>),
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    depth: u32,
}

impl Parser<'_> {
    /// Operators of `level` and tighter.
    fn expression(&mut self, level: u8) -> Result<Node, FilterError> {
        let mut left = self.prefix()?;
        while let Some((operator, length)) =
            self.scanner.peek_operator().filter(|(operator, _)| operator.level() >= level)
        {
            let at = self.scanner.at();
            self.scanner.skip(length);
            let right = self.expression(operator.level() + 1)?;
            left = match operator {
                Operator::Or | Operator::And => chain(left, operator, right),
                Operator::Relation(relation) => self.compare(left, relation, right, at)?,
                Operator::Bits(operation) => self.operate(left, operation, right, at)?,
            };
        }
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node, FilterError> {
        let at = self.scanner.at();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self
                .scanner
                .error(at, format!("more than {DEEPEST} parentheses and negations within each other")));
        }
        let kind = if self.scanner.take_word("not") {
            Kind::Not(Box::new(self.expression(LEVEL_RELATION)?))
        } else if self.scanner.take("!") {
            Kind::Not(Box::new(self.prefix()?))
        } else if self.scanner.take("(") {
            let inner = self.expression(LEVEL_OR)?;
            if !self.scanner.take(")") {
                return Err(self.scanner.unexpected("an operator or `)`"));
            }
            Kind::Group(Box::new(inner))
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(Node { at, kind })
    }

    fn primary(&mut self) -> Result<Kind, FilterError> {
        if let Some(literal) = self.scanner.literal()? {
            return Ok(Kind::Value(literal));
        }
        let mut path = self.path()?;
        let number = match path.root.as_str() {
            _ if !path.steps.is_empty() => None,
            "true" => Some(1),
            "false" | "NULL" => Some(0),
            _ => None,
        };
        if let Some(number) = number {
            return Ok(Kind::Value(Literal::Number(number)));
        }
        // A mask at the end is for the number that is there; one in the middle for the pointer that is followed.
        let mut operations = Vec::new();
        if let Some(StepKind::Mask(mask)) = path.steps.last().map(|step| &step.kind) {
            operations.push((BitOperation::And, *mask));
            path.steps.pop();
        }
        Ok(Kind::Operand(Operand { path, operations }))
    }

    fn path(&mut self) -> Result<Path, FilterError> {
        let start = self.scanner.at();
        let root = self.scanner.identifier().to_owned();
        if root.is_empty() {
            return Err(self.scanner.unexpected("a member or a value"));
        }
        let mut steps = Vec::new();
        loop {
            if self.scanner.take(".") {
                let is_cast = self.scanner.take("(");
                let at = self.scanner.at();
                let kind = if is_cast { self.cast()? } else { StepKind::Member(self.name("the name of a member")?) };
                steps.push(Step { at, kind });
            } else if self.scanner.take("[") {
                let at = self.scanner.at();
                let kind = StepKind::Index(self.scanner.number()?);
                if !self.scanner.take("]") {
                    return Err(self.scanner.unexpected("`]`"));
                }
                steps.push(Step { at, kind });
            } else if self.scanner.take(":") {
                self.mask(&mut steps)?;
            } else {
                return Ok(Path { at: start, root, steps });
            }
        }
    }

    /// `~0x7`, and the struct at which the pointer leads without these bits: `:nf_conn`.
    fn mask(&mut self, steps: &mut Vec<Step>) -> Result<(), FilterError> {
        let at = self.scanner.at();
        let complement = self.scanner.take("~");
        let mask = self.scanner.number()?;
        let mask = if complement { !mask } else { mask };
        if mask == 0 {
            return Err(self.scanner.error(at, "a mask without a bit"));
        }
        steps.push(Step { at, kind: StepKind::Mask(mask) });
        if self.scanner.take_adjacent(":") {
            let at = self.scanner.at();
            steps.push(Step { at, kind: StepKind::Cast(self.name("the name of a struct")?) });
        }
        Ok(())
    }

    /// What is between the parentheses of `.(tcp_sock)`; as in C, `struct tcp_sock *` is the same.
    fn cast(&mut self) -> Result<StepKind, FilterError> {
        let mut name = self.name("the name of a struct")?;
        if matches!(name.as_str(), "struct" | "union") {
            name = self.name("the name of a struct")?;
        }
        self.scanner.take("*");
        if !self.scanner.take(")") {
            return Err(self.scanner.unexpected("`)`"));
        }
        Ok(StepKind::Cast(name))
    }

    fn name(&mut self, expected: &str) -> Result<String, FilterError> {
        match self.scanner.identifier() {
            "" => Err(self.scanner.unexpected(expected)),
            name => Ok(name.to_owned()),
        }
    }

    fn operate(&self, left: Node, operation: BitOperation, right: Node, at: usize) -> Result<Node, FilterError> {
        let node_at = left.at;
        let is_shift = matches!(operation, BitOperation::ShiftLeft | BitOperation::ShiftRight);
        let (number_at, right_at) = (left.at, right.at);
        let kind = match (left.ungrouped(), right.ungrouped()) {
            (_, Kind::Value(Literal::Number(..0 | 64..))) if is_shift => {
                return Err(self.scanner.error(right_at, "a number of 64 bits is shifted by 0 to 63"));
            }
            (Kind::Operand(mut operand), Kind::Value(Literal::Number(number))) => {
                operand.operations.push((operation, self.bits(number, right_at)?));
                Kind::Operand(operand)
            }
            (Kind::Value(Literal::Number(number)), Kind::Operand(mut operand)) if !is_shift => {
                operand.operations.push((operation, self.bits(number, number_at)?));
                Kind::Operand(operand)
            }
            (Kind::Value(Literal::Number(left)), Kind::Value(Literal::Number(right))) => {
                let result = operation.apply(self.bits(left, number_at)?, self.bits(right, right_at)?);
                Kind::Value(Literal::Number(result.into()))
            }
            _ => return Err(self.scanner.error(at, "bit operations are between a member and a number")),
        };
        Ok(Node { at: node_at, kind })
    }

    /// A number as an operand of a bit operation; negative ones have all higher bits set.
    fn bits(&self, number: i128, at: usize) -> Result<u64, FilterError> {
        u64::try_from(number)
            .or_else(|_| i64::try_from(number).map(i64::cast_unsigned))
            .map_err(|_| self.scanner.error(at, format!("{number} has more than 64 bits")))
    }

    fn compare(&self, left: Node, relation: Relation, right: Node, at: usize) -> Result<Node, FilterError> {
        let node_at = left.at;
        let (left_at, right_at) = (left.at, right.at);
        let comparison = match (left.ungrouped(), right.ungrouped()) {
            (Kind::Not(_), _) => {
                let hint = "`!` binds tightly: write `!(a == b)` or `not a == b`";
                return Err(self.scanner.error(at, "a negation is compared").with_hint(hint));
            }
            (Kind::Operand(operand), Kind::Value(literal)) => {
                Comparison { operand, relation, value: Some(Value { at: right_at, literal }) }
            }
            (Kind::Value(literal), Kind::Operand(operand)) => {
                Comparison { operand, relation: relation.mirrored(), value: Some(Value { at: left_at, literal }) }
            }
            // A single word next to a member is the name of a number.
            (Kind::Operand(operand), Kind::Operand(name)) if name.is_word() => {
                let literal = Literal::Name(name.path.root);
                Comparison { operand, relation, value: Some(Value { at: right_at, literal }) }
            }
            (Kind::Operand(name), Kind::Operand(operand)) if name.is_word() => {
                let literal = Literal::Name(name.path.root);
                Comparison { operand, relation: relation.mirrored(), value: Some(Value { at: left_at, literal }) }
            }
            (Kind::Operand(_), Kind::Operand(_)) => {
                return Err(self.scanner.error(right_at, "a member is compared with a value, not with another member"));
            }
            (Kind::Value(_), Kind::Value(_)) => {
                return Err(self.scanner.error(at, "two values are compared; one side must be a member"));
            }
            _ => return Err(self.scanner.error(at, "what is true or false is compared; only members are")),
        };
        Ok(Node { at: node_at, kind: Kind::Comparison(comparison) })
    }

    fn condition(&self, node: Node, negated: bool) -> Result<Condition, FilterError> {
        let all =
            |nodes: Vec<Node>| nodes.into_iter().map(|node| self.condition(node, negated)).collect::<Result<_, _>>();
        Ok(match node.kind {
            Kind::Group(inner) => self.condition(*inner, negated)?,
            Kind::Not(inner) => self.condition(*inner, !negated)?,
            Kind::All(nodes) if negated => Condition::Any(all(nodes)?),
            Kind::Any(nodes) if negated => Condition::All(all(nodes)?),
            Kind::All(nodes) => Condition::All(all(nodes)?),
            Kind::Any(nodes) => Condition::Any(all(nodes)?),
            Kind::Comparison(mut comparison) => {
                if negated {
                    comparison.relation = comparison.relation.negated();
                }
                Condition::Comparison(comparison)
            }
            Kind::Operand(operand) => {
                let relation = if negated { Relation::Equal } else { Relation::NotEqual };
                Condition::Comparison(Comparison { operand, relation, value: None })
            }
            Kind::Value(_) => {
                return Err(self.scanner.error(node.at, "a value alone; it must be compared with a member"));
            }
        })
    }
}

impl Operator {
    fn level(self) -> u8 {
        match self {
            Self::Or => LEVEL_OR,
            Self::And => LEVEL_AND,
            Self::Relation(_) => LEVEL_RELATION,
            Self::Bits(BitOperation::Or) => 3,
            Self::Bits(BitOperation::Xor) => 4,
            Self::Bits(BitOperation::And) => 5,
            Self::Bits(BitOperation::ShiftLeft | BitOperation::ShiftRight) => 6,
        }
    }
}

impl Node {
    /// What is in the parentheses, if it is in any.
    fn ungrouped(self) -> Kind {
        match self.kind {
            Kind::Group(inner) => inner.ungrouped(),
            kind => kind,
        }
    }
}

impl Operand {
    fn is_word(&self) -> bool {
        self.path.steps.is_empty() && self.operations.is_empty()
    }
}

/// What `a && b` and `c` are together; chains are kept flat, so that their length costs no stack.
fn chain(left: Node, operator: Operator, right: Node) -> Node {
    let at = left.at;
    let mut nodes = match (operator, left.kind) {
        (Operator::Or, Kind::Any(nodes)) | (Operator::And, Kind::All(nodes)) => nodes,
        (_, kind) => vec![Node { at, kind }],
    };
    nodes.push(right);
    Node { at, kind: if operator == Operator::Or { Kind::Any(nodes) } else { Kind::All(nodes) } }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::metadata::syntax::{BitOperation, Condition, Literal, Relation, StepKind};

    /// A condition with all its parentheses; names and numbers only.
    fn tree(text: &str) -> String {
        fn show(condition: &Condition) -> String {
            let joined = |all: &[Condition], operator: &str| {
                format!("({})", all.iter().map(show).collect::<Vec<_>>().join(operator))
            };
            let comparison = match condition {
                Condition::All(all) => return joined(all, " && "),
                Condition::Any(all) => return joined(all, " || "),
                Condition::Comparison(comparison) => comparison,
            };
            let mut shown = comparison.operand.path.root.clone();
            for step in &comparison.operand.path.steps {
                shown += &match &step.kind {
                    StepKind::Member(name) => format!(".{name}"),
                    StepKind::Index(index) => format!("[{index}]"),
                    StepKind::Cast(name) => format!(".({name})"),
                    StepKind::Mask(mask) => format!(":{mask:#x}"),
                };
            }
            for (operation, with) in &comparison.operand.operations {
                let sign = match operation {
                    BitOperation::And => "&",
                    BitOperation::Or => "|",
                    BitOperation::Xor => "^",
                    BitOperation::ShiftLeft => "<<",
                    BitOperation::ShiftRight => ">>",
                };
                shown = format!("[{shown} {sign} {with:#x}]");
            }
            let relation = match comparison.relation {
                Relation::Equal => "==",
                Relation::NotEqual => "!=",
                Relation::Less => "<",
                Relation::LessOrEqual => "<=",
                Relation::Greater => ">",
                Relation::GreaterOrEqual => ">=",
            };
            let value = match comparison.value.as_ref().map(|value| &value.literal) {
                None => "nothing".to_owned(),
                Some(Literal::Number(number)) => number.to_string(),
                Some(Literal::Text { text, prefix }) => format!("{text:?}{}", if *prefix { "*" } else { "" }),
                Some(Literal::Name(name)) => name.clone(),
                Some(literal) => format!("{literal:?}"),
            };
            format!("{shown} {relation} {value}")
        }
        show(&parse(text).unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn operators_bind_as_in_c_but_for_bits() {
        for (text, expected) in [
            ("a||b&&c||d", "(a != nothing || (b != nothing && c != nothing) || d != nothing)"),
            ("a && b || c && d", "((a != nothing && b != nothing) || (c != nothing && d != nothing))"),
            ("a and (b or c)", "(a != nothing && (b != nothing || c != nothing))"),
            ("(a && b) && c", "((a != nothing && b != nothing) && c != nothing)"),
            ("a & 1 == 1", "[a & 0x1] == 1"),
            ("a | 1 ^ 2 & 3 << 1", "[a | 0x3] != nothing"),
            ("a & 6 | 1 << 1", "[[a & 0x6] | 0x2] != nothing"),
            ("1 << 4 & a > 2", "[a & 0x10] > 2"),
            ("a >> 1 >> 2 == 3", "[[a >> 0x1] >> 0x2] == 3"),
            ("((a)) == ((5))", "a == 5"),
            ("5 < a", "a > 5"),
            ("NAME == a.b", "a.b == NAME"),
            ("a == NAME", "a == NAME"),
            ("a == -1 && b == ~0", "(a == -1 && b == -1)"),
        ] {
            assert_eq!(tree(text), expected, "{text}");
        }
    }

    #[test]
    fn negations_end_at_the_comparisons() {
        for (text, expected) in [
            ("!a", "a == nothing"),
            ("!!a", "a != nothing"),
            ("not a == 1", "a != 1"),
            ("not a == 1 and b", "(a != 1 && b != nothing)"),
            ("!(a < 1 || b >= 2 && c)", "(a >= 1 && (b < 2 || c == nothing))"),
            ("!(not a <= 1) && !(b > 2)", "(a <= 1 && b <= 2)"),
            ("!a && b", "(a == nothing && b != nothing)"),
        ] {
            assert_eq!(tree(text), expected, "{text}");
        }
    }

    #[test]
    fn paths_are_of_many_kinds() {
        for (text, expected) in [
            ("sk_buff.skc_v6_daddr._x9[0x1].y", "sk_buff.skc_v6_daddr._x9[1].y != nothing"),
            ("sk_buff . sk . ( struct tcp_sock * ) . a", "sk_buff.sk.(tcp_sock).a != nothing"),
            (
                "sk_buff._nfct:~0x7:nf_conn.mark:0b11 == 1",
                "[sk_buff._nfct:0xfffffffffffffff8.(nf_conn).mark & 0x3] == 1",
            ),
            ("a:0xff.b", "a:0xff.b != nothing"),
            ("skb-drop.drop_reason == 'a b*'", "skb-drop.drop_reason == \"a b\"*"),
            (r#"a == 'it\'s "\\"'"#, r#"a == "it's \"\\\"""#),
            ("a == '\\*'", "a == \"*\""),
            ("ANDROID == or_else && notes", "(ANDROID == or_else && notes != nothing)"),
            ("a == 0o17 || a == 0B11 || a == 0X1f", "(a == 15 || a == 3 || a == 31)"),
            ("a == true || a == false || a == NULL", "(a == 1 || a == 0 || a == 0)"),
        ] {
            assert_eq!(tree(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for (text, expected) in [
            ("a == 10.0.0.1", "a == Ipv4(10.0.0.1, 32)"),
            ("a == 10.0.0.0/8", "a == Ipv4(10.0.0.0, 8)"),
            ("a == ::", "a == Ipv6(::, 128)"),
            ("a == fe80::1/64", "a == Ipv6(fe80::1, 64)"),
            ("dead:beef::1 == a", "a == Ipv6(dead:beef::1, 128)"),
            ("a == ::ffff:10.0.0.1", "a == Ipv6(::ffff:10.0.0.1, 128)"),
            ("a == ab:cd:ef:1:2:3", "a == Mac([171, 205, 239, 1, 2, 3])"),
        ] {
            assert_eq!(tree(text), expected, "{text}");
        }
    }
}
