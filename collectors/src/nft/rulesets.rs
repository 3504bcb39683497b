// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of rules, by network namespace and handles. The kernel gives handles to tables and rules that it never gives twice, so a
//! text that was read once stays right, and a handle that is new says that there is something to read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use tracer_core::companion::Companion;

use super::listing::{self, Rule};
use super::rules_reader::{Answer, ROLE, Request};

/// Rules that are remembered; then all are forgotten.
const MOST_RULES: usize = 1 << 18;

/// So often rules can be read in a row, and how long it takes until they may once more: whoever replaces rules all the time must not
/// keep events from being written.
const READS: u32 = 50;
const READ_EVERY: Duration = Duration::from_millis(200);

/// How long an unreadable namespace is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// How long the companion may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Unreadable namespaces that are remembered.
const MOST_UNREADABLE: usize = 1024;

/// A network namespace: its cookie, which is never given twice, and its number.
pub(super) type Namespace = (u64, u32);

/// The namespace, and the handles of the table and the rule.
type Key = (Namespace, u64, u64);

/// What is known about rules.
#[derive(Debug, Default)]
pub(super) struct Rulesets {
    /// `None`: nobody can be asked.
    reader: Option<Companion>,
    /// `None`: it was gone when it was looked for.
    rules: HashMap<Key, Option<Rule>>,
    /// When they were tried, and why they can't be read.
    unreadable: BTreeMap<Namespace, (Instant, String)>,
    budget: Budget,
    /// Some rules were not looked for.
    hurried: bool,
    /// Why nobody can be asked.
    missing: Option<String>,
    /// The namespace and the words of a rule that switches tracing on.
    tracing: bool,
}

impl Rulesets {
    /// Starts the companion, and takes in the rules that there are.
    pub(super) fn start() -> Self {
        let mut rulesets = Self::default();
        if let Err(error) = rulesets.look_around() {
            rulesets.give_up(&error);
        }
        rulesets
    }

    fn look_around(&mut self) -> io::Result<()> {
        let mut reader = Companion::start(ROLE)?;
        loop {
            match read(&mut reader)? {
                Answer::Done => break,
                Answer::Missing { why } => return Err(io::Error::other(format!("`nft` can't be run: {why}"))),
                answer => self.take_in(answer, None),
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Whether a rule that switches tracing on was there at the start.
    pub(super) fn is_tracing(&self) -> bool {
        self.tracing
    }

    /// Why rules can't be read at all.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Has tracing switched on, and returns the name of the table that does it.
    pub(super) fn switch_on(&mut self) -> io::Result<String> {
        match self.ask(&Request::Trace)? {
            Answer::Tracing { table } => Ok(table),
            Answer::NotTracing { why } => Err(io::Error::other(why)),
            other => Err(unexpected(&other)),
        }
    }

    /// The rule with these handles, when it is known or can be found out.
    pub(super) fn get(&mut self, namespace: Namespace, table: u64, handle: u64) -> Option<&Rule> {
        let key = (namespace, table, handle);
        if !self.rules.contains_key(&key) {
            self.look(namespace, key);
        }
        self.rules.get(&key)?.as_ref()
    }

    /// Reads the rules of a namespace, one of which is new.
    fn look(&mut self, namespace: Namespace, wanted: Key) {
        if self.reader.is_none() || self.unreadable.get(&namespace).is_some_and(|(tried, _)| tried.elapsed() < RETRY) {
            return;
        }
        if !self.budget.spend(Instant::now()) {
            self.hurried = true;
            return;
        }
        let (cookie, number) = namespace;
        match self.ask(&Request::List { number, cookie }) {
            Ok(answer @ Answer::Ruleset { .. }) => {
                self.take_in(answer, Some(namespace));
                // The event is older than the listing: it is gone.
                self.rules.entry(wanted).or_insert(None);
            }
            Ok(Answer::Unreadable { why, .. }) => {
                if self.unreadable.len() >= MOST_UNREADABLE {
                    self.unreadable.pop_first();
                }
                self.unreadable.insert(namespace, (Instant::now(), why));
            }
            Ok(other) => self.give_up(&unexpected(&other)),
            Err(error) => self.give_up(&error),
        }
    }

    fn take_in(&mut self, answer: Answer, asked: Option<Namespace>) {
        let Answer::Ruleset { number, cookie, listing, warnings } = answer else { return };
        let namespace = asked.unwrap_or((cookie, number));
        let rules = listing::rules(&listing, &warnings);
        self.tracing |= rules.iter().any(listing::is_tracing);
        if self.rules.len() + rules.len() > MOST_RULES {
            self.rules.clear();
        }
        let rules = rules.into_iter().take(MOST_RULES);
        self.rules.extend(rules.map(|rule| ((namespace, rule.table, rule.handle), Some(rule))));
    }

    fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let reader = self.reader.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        reader.input()?.write_all(&line)?;
        read(reader)
    }

    fn give_up(&mut self, error: &io::Error) {
        self.reader = None;
        self.missing = Some(error.to_string());
    }
}

impl fmt::Display for Rulesets {
    /// What could not be found out; nothing when all was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.missing {
            return write!(f, "nft: rules are shown by their handles only: {why}");
        }
        if let Some(((_, number), (_, why))) = self.unreadable.first_key_value() {
            let more = match self.unreadable.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            return write!(
                f,
                "nft: the rules of network namespace {number}{more} are shown by their handles only: {why}"
            );
        }
        if self.hurried {
            return f
                .write_str("nft: some rules are shown by their handles only: they were replaced too often to be read");
        }
        Ok(())
    }
}

fn read(reader: &mut Companion) -> io::Result<Answer> {
    let line = reader.line(PATIENCE).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => io::Error::other("`nft` does not answer"),
        io::ErrorKind::UnexpectedEof => io::Error::other("the process that reads them has ended"),
        _ => error,
    })?;
    Ok(serde_json::from_slice(&line)?)
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("unexpected answer: {answer:?}"))
}

/// How often rules may still be read.
#[derive(Debug)]
struct Budget {
    left: u32,
    since: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: READS, since: None }
    }
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let earned = (now.saturating_duration_since(since).as_nanos() / READ_EVERY.as_nanos()) as u32;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(READS);
            self.since = Some(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Answer, Budget, MOST_RULES, READ_EVERY, READS, Rulesets};

    fn ruleset(number: u32, cookie: u64, rules: &[(u64, &str)]) -> Answer {
        let rules: String = rules.iter().map(|(handle, text)| format!("\t\t{text} # handle {handle}\n")).collect();
        let listing = format!("table ip t {{ # handle 1\n\tchain c {{ # handle 1\n{rules}\t}}\n}}\n");
        Answer::Ruleset { number, cookie, listing, warnings: String::new() }
    }

    fn text(rulesets: &mut Rulesets, namespace: (u64, u32), handle: u64) -> Option<String> {
        rulesets.get(namespace, 1, handle).map(|rule| rule.text.clone())
    }

    #[test]
    fn a_rule_that_was_read_is_known_for_good() {
        let mut rulesets = Rulesets::default();
        rulesets.take_in(ruleset(7, 70, &[(2, "drop"), (3, "accept")]), None);
        rulesets.take_in(ruleset(7, 70, &[(4, "ip saddr 10.0.0.1 drop")]), None);
        // Another namespace that has the number of the first one.
        rulesets.take_in(ruleset(7, 71, &[(2, "continue")]), None);
        assert_eq!(text(&mut rulesets, (70, 7), 2).as_deref(), Some("drop"));
        assert_eq!(text(&mut rulesets, (70, 7), 4).as_deref(), Some("ip saddr 10.0.0.1 drop"));
        assert_eq!(text(&mut rulesets, (71, 7), 2).as_deref(), Some("continue"));
        assert_eq!(text(&mut rulesets, (71, 7), 3), None);
        assert_eq!(text(&mut rulesets, (70, 8), 2), None);
    }

    #[test]
    fn remembers_no_more_than_so_many() {
        let mut rulesets = Rulesets::default();
        let many: Vec<(u64, &str)> = (0..MOST_RULES as u64 / 2 + 1).map(|handle| (handle, "drop")).collect();
        for cookie in 1..4 {
            rulesets.take_in(ruleset(1, cookie, &many), None);
            assert!(rulesets.rules.len() <= MOST_RULES);
        }
    }

    #[test]
    fn rules_are_read_so_often_at_most() {
        let mut budget = Budget::default();
        let start = Instant::now();
        assert_eq!((0..READS * 2).filter(|_| budget.spend(start)).count(), READS as usize);
        assert!(!budget.spend(start + READ_EVERY / 2));
        assert!(budget.spend(start + READ_EVERY));
        assert!(!budget.spend(start + READ_EVERY));
    }

    #[test]
    fn says_why_handles_stand_alone() {
        let mut rulesets = Rulesets::default();
        assert_eq!(rulesets.to_string(), "");
        rulesets.hurried = true;
        assert!(rulesets.to_string().contains("replaced too often"));
        rulesets.unreadable.insert((1, 4_026_531_840), (Instant::now(), "it is gone".to_owned()));
        assert!(
            rulesets.to_string().ends_with("network namespace 4026531840 are shown by their handles only: it is gone")
        );
        rulesets.give_up(&std::io::Error::other("no nft"));
        assert_eq!(rulesets.to_string(), "nft: rules are shown by their handles only: no nft");
    }
}
