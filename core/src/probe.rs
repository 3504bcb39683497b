// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Probes: what a user asks for ([`ProbeSpec`]), and what that is on the running kernel ([`Probe`]).

mod attach_error;
pub mod inspect;
mod prototypes;
mod resolve;
pub mod usdt;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use tracer_ebpf::wire;

use crate::filter::FilterText;

pub use attach_error::AttachError;
pub(crate) use attach_error::{explain, symbol_obstacle};
pub use resolve::{Resolution, resolve};
use usdt::UserPlace;

/// How a place in the kernel is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeType {
    /// The entry of a function.
    Kprobe,
    /// The return of a function.
    Kretprobe,
    /// A tracepoint, by a raw tracepoint program.
    RawTracepoint,
    /// A static probe in a user-space program.
    Usdt,
}

impl ProbeType {
    /// The name in events and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::RawTracepoint => "raw_tracepoint",
            Self::Usdt => "usdt",
        }
    }

    /// Whether it is at functions of the kernel.
    pub fn is_function(self) -> bool {
        matches!(self, Self::Kprobe | Self::Kretprobe)
    }
}

/// Who asked for a probe; decides whether it may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user named it: a failure is an error.
    Named,
    /// A profile, a collector or the default asked for it: a failure is a warning.
    Suggested,
}

/// A probe, or with `*` many of them, as written: `[TYPE:]TARGET[/stack][/filter=TEXT][/meta=TEXT]`. A filter can hold slashes: it goes
/// to the next one behind which an option stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The type.
    pub probe_type: ProbeType,
    /// A function, `GROUP:NAME` of a tracepoint, or `PROCESS:PROVIDER:NAME` of a USDT probe. May hold `*`, but for the process.
    pub target: String,
    /// Record the kernel stack at each hit.
    pub stack: bool,
    /// Its own filter, in place of the one for all probes; an empty one lets all packets pass.
    pub filter: Option<FilterText>,
    /// Only hits that a collector selects become events.
    pub selective: bool,
    /// Who asked for it.
    pub origin: Origin,
    /// The function whose arguments it has, when the kernel does not describe its own.
    pub like: Option<&'static str>,
}

/// Why a probe can't be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeSpecError {
    /// The text in front of the colon is no type, or no group of a tracepoint.
    #[error("`{0}` is no type of probe; there are kprobe (k), kretprobe (kr), raw_tracepoint (tp), usdt")]
    Type(String),
    /// A tracepoint without its group.
    #[error("the tracepoint `{0}` needs its group in front, as in `tp:net:netif_rx`")]
    Group(String),
    /// A USDT probe without its process or its provider.
    #[error("the USDT probe `{0}` needs its process and its provider, as in `usdt:PROCESS:PROVIDER:NAME`")]
    Process(String),
    /// A stack where there is none of the kernel's.
    #[error("`/stack` is of no use at a USDT probe: it records the stack of the kernel")]
    Stack,
    /// Nothing, or characters that no target has.
    #[error("`{0}` is no name of a function, tracepoint or USDT probe")]
    Target(String),
    /// An option that does not exist.
    #[error("`/{0}` is no option of a probe; there are `/stack`, `/filter=PCAP_FILTER` and `/meta=META_FILTER`")]
    Option(String),
    /// An option that is there already.
    #[error("`/{0}` is there twice")]
    Twice(&'static str),
}

impl FromStr for ProbeSpec {
    type Err = ProbeSpecError;

    fn from_str(text: &str) -> Result<Self, ProbeSpecError> {
        let (place, options) = text.split_once('/').map_or((text, None), |(place, options)| (place, Some(options)));
        let (mut stack, mut packet, mut metadata) = (false, None, None);
        for option in options.into_iter().flat_map(split_options) {
            let (name, place, text) = match option.split_once('=') {
                None if option == "stack" => {
                    stack = true;
                    continue;
                }
                Some(("filter", text)) => ("filter", &mut packet, text),
                Some(("meta", text)) => ("meta", &mut metadata, text),
                _ => return Err(ProbeSpecError::Option(option.to_owned())),
            };
            if place.replace(text).is_some() {
                return Err(ProbeSpecError::Twice(name));
            }
        }
        let filter = (packet.is_some() || metadata.is_some()).then(|| FilterText::new(packet, metadata));
        let (probe_type, target) = match place.split_once(':') {
            None => (ProbeType::Kprobe, place),
            Some(("kprobe" | "k", target)) => (ProbeType::Kprobe, target),
            Some(("kretprobe" | "kr", target)) => (ProbeType::Kretprobe, target),
            Some(("raw_tracepoint" | "tp", "*")) => (ProbeType::RawTracepoint, "*:*"),
            Some(("raw_tracepoint" | "tp", target)) => (ProbeType::RawTracepoint, target),
            Some(("usdt", target)) => (ProbeType::Usdt, target),
            Some((other, target)) if target.contains(':') => return Err(ProbeSpecError::Type(other.to_owned())),
            Some(_) => (ProbeType::RawTracepoint, place),
        };
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '*' | '.' | '-'))
        };
        let valid = match (probe_type, target.split_once(':')) {
            (ProbeType::RawTracepoint, Some((group, name))) => is_name(group) && is_name(name),
            (ProbeType::RawTracepoint, None) => return Err(ProbeSpecError::Group(target.to_owned())),
            (ProbeType::Usdt, Some((process, "*"))) => is_name(process) && !process.contains('*'),
            (ProbeType::Usdt, Some((process, probe))) => match probe.split_once(':') {
                Some((provider, name)) => {
                    is_name(process) && !process.contains('*') && is_name(provider) && is_name(name)
                }
                None => return Err(ProbeSpecError::Process(target.to_owned())),
            },
            (ProbeType::Usdt, None) => return Err(ProbeSpecError::Process(target.to_owned())),
            _ => is_name(target),
        };
        if !valid {
            return Err(ProbeSpecError::Target(target.to_owned()));
        }
        if stack && probe_type == ProbeType::Usdt {
            return Err(ProbeSpecError::Stack);
        }
        let all = if probe_type == ProbeType::Usdt && target.matches(':').count() == 1 { ":*" } else { "" };
        Ok(Self { stack, filter, ..Self::at(probe_type, &format!("{target}{all}")) })
    }
}

/// The options of a probe. A slash begins one only where an option's name follows, or at the start: filters have slashes, too.
fn split_options(mut options: &str) -> Vec<&str> {
    let mut split = Vec::new();
    loop {
        let is_option = |rest: &str| {
            let name = rest.split(['=', '/']).next().unwrap_or_default();
            matches!(name, "stack" | "filter" | "meta")
        };
        let end = options.match_indices('/').map(|(at, _)| at).find(|&at| is_option(&options[at + 1..]));
        let Some(end) = end else {
            split.push(options);
            return split;
        };
        split.push(&options[..end]);
        options = &options[end + 1..];
    }
}

impl fmt::Display for ProbeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.probe_type.name(), self.target)?;
        if self.stack {
            f.write_str("/stack")?;
        }
        let Some(filter) = &self.filter else { return Ok(()) };
        if filter.packet.is_some() || filter.is_empty() {
            write!(f, "/filter={}", filter.packet.as_deref().unwrap_or_default())?;
        }
        filter.metadata.iter().try_for_each(|text| write!(f, "/meta={text}"))
    }
}

impl ProbeSpec {
    /// Everything of a type.
    pub fn all(probe_type: ProbeType) -> Self {
        Self::at(probe_type, if probe_type == ProbeType::RawTracepoint { "*:*" } else { "*" })
    }

    /// A USDT probe of the processes whose program has this name.
    pub fn usdt(process: &str, provider: &str, name: &str) -> Self {
        Self::at(ProbeType::Usdt, &format!("{process}:{provider}:{name}"))
    }

    /// One place.
    pub fn at(probe_type: ProbeType, target: &str) -> Self {
        Self {
            probe_type,
            target: target.to_owned(),
            stack: false,
            filter: None,
            selective: false,
            origin: Origin::Named,
            like: None,
        }
    }

    /// A part that the compiler has split off a function: it is taken to have that function's arguments, which the kernel does not say.
    /// What is read from them must be checked.
    pub fn part_of(mut self, function: &'static str) -> Self {
        self.like = Some(function);
        self
    }

    /// The same probe, asked for by somebody who can do without.
    #[must_use]
    pub fn suggested(mut self) -> Self {
        self.origin = Origin::Suggested;
        self
    }

    /// The name of the tracepoint without its group, of the function, or of the USDT probe with its provider.
    pub fn symbol(&self) -> &str {
        symbol(self.probe_type, &self.target)
    }

    /// Whether it stands for many.
    pub fn is_wildcard(&self) -> bool {
        self.target.contains('*')
    }
}

/// Where a probe finds its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketPlace {
    /// It has none, or it is not known where.
    Nowhere,
    /// This argument points to the `sk_buff`.
    Argument(u8),
    /// This argument points to the pointer to the `sk_buff`, or to a struct that holds it `offset` bytes from its start.
    Behind {
        /// The argument.
        argument: u8,
        /// Bytes.
        offset: u16,
        /// What is found there points to another struct, which holds the pointer to the `sk_buff` so many bytes from its start.
        then: Option<u16>,
    },
}

/// What an argument is, as far as collectors may ask for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentType {
    /// A value of this enum.
    Enum(Cow<'static, str>),
    /// A pointer to this struct.
    Struct(Cow<'static, str>),
    /// An address (`void *`) of this name.
    Address(Cow<'static, str>),
    /// A whole number of this name.
    Integer(Cow<'static, str>),
}

/// An argument that a collector wants to see where a probe has it.
#[derive(Debug, PartialEq, Eq)]
pub struct WantedArgument {
    /// The first one of this type.
    pub argument: ArgumentType,
    /// Functions in which such an argument means something else.
    pub except: &'static [&'static str],
}

impl WantedArgument {
    /// Which argument of a probe it is. None is known at returns: there, registers no longer hold them.
    pub fn of(&self, probe: &Probe) -> Option<u8> {
        if probe.probe_type == ProbeType::Kretprobe || self.except.contains(&&*probe.target) {
            return None;
        }
        probe.arguments.iter().find(|(_, argument)| *argument == self.argument).map(|(number, _)| *number)
    }
}

/// One place that is looked at: in the running kernel, or in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The type.
    pub probe_type: ProbeType,
    /// A function, `GROUP:NAME` of a tracepoint, or `PROCESS:PROVIDER:NAME` of a USDT probe.
    pub target: String,
    /// The module that it is in, when that is known and not vmlinux.
    pub module: Option<String>,
    /// Record the kernel stack.
    pub stack: bool,
    /// Its own filter, in place of the one for all probes.
    pub filter: Option<FilterText>,
    /// Only hits that a collector selects become events.
    pub selective: bool,
    /// Who asked for it.
    pub origin: Origin,
    /// Where the packet is.
    pub packet: PacketPlace,
    /// The argument that points to a `net_device`.
    pub device_argument: Option<u8>,
    /// The argument that points to a `net`, the network namespace.
    pub namespace_argument: Option<u8>,
    /// The argument that points to a `sock`.
    pub socket_argument: Option<u8>,
    /// All arguments that are of a type by which they can be asked for, by number.
    pub arguments: Vec<(u8, ArgumentType)>,
    /// The packet may be freed by others when the probe is hit: tracking must not begin here.
    pub packet_may_be_gone: bool,
    /// The file that it is in, and the processes that run it, when it is in no kernel.
    pub user: Option<UserPlace>,
    /// The program of a collector that stands here in place of the engine's.
    pub own_program: Option<&'static str>,
}

impl Probe {
    /// The name of the tracepoint without its group, of the function, or of the USDT probe with its provider.
    pub fn symbol(&self) -> &str {
        symbol(self.probe_type, &self.target)
    }

    /// How many bytes above the stack pointer an argument is when the function is entered; `None`: it is in a register, or
    /// one of a tracepoint.
    pub fn stack_offset(&self, argument: u8) -> Option<u32> {
        let on_stack = u32::from(argument).checked_sub(wire::REGISTER_ARGUMENTS)?;
        self.probe_type.is_function().then_some(wire::STACK_ARGUMENTS + on_stack * 8)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.probe_type.name(), self.target)
    }
}

fn symbol(probe_type: ProbeType, target: &str) -> &str {
    match probe_type {
        ProbeType::RawTracepoint | ProbeType::Usdt => target.split_once(':').map_or(target, |(_, name)| name),
        ProbeType::Kprobe | ProbeType::Kretprobe => target,
    }
}

/// Whether a name fits a pattern in which `*` stands for any number of characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{FilterText, Origin, ProbeSpec, ProbeSpecError, ProbeType, matches};

    #[test]
    fn reads_every_form() {
        let spec = |text: &str| text.parse::<ProbeSpec>().unwrap();
        for text in ["ip_rcv", "k:ip_rcv", "kprobe:ip_rcv"] {
            let expected = ProbeSpec {
                probe_type: ProbeType::Kprobe,
                target: "ip_rcv".to_owned(),
                stack: false,
                filter: None,
                selective: false,
                origin: Origin::Named,
                like: None,
            };
            assert_eq!(spec(text), expected, "{text}");
        }
        for text in ["net:netif_rx/stack", "tp:net:netif_rx/stack", "raw_tracepoint:net:netif_rx/stack"] {
            assert_eq!(spec(text).to_string(), "raw_tracepoint:net:netif_rx/stack", "{text}");
        }
        assert_eq!(spec("kr:udp_*").to_string(), "kretprobe:udp_*");
        assert_eq!(spec("tp:*").to_string(), "raw_tracepoint:*:*");
        for text in ["usdt:ovs-vswitchd:main:run_start", "usdt:1234:dpif_*:*", "usdt:python3.11:*:gc__start"] {
            assert_eq!(spec(text).to_string(), text);
        }
        assert_eq!(spec("usdt:ovs-vswitchd:*").target, "ovs-vswitchd:*:*");
        assert_eq!(spec("ip_rcv_finish_core.isra.0").target, "ip_rcv_finish_core.isra.0");
    }

    #[test]
    fn filters_may_hold_slashes() {
        let spec: ProbeSpec =
            r#"ip_rcv/filter=net 10.0.0.0/8 and tcp/stack/meta=sk_buff.dev.name == "a/b""#.parse().unwrap();
        let filter = FilterText {
            packet: Some("net 10.0.0.0/8 and tcp".to_owned()),
            metadata: Some(r#"sk_buff.dev.name == "a/b""#.to_owned()),
        };
        assert_eq!((spec.stack, &spec.filter), (true, &Some(filter)));
        assert_eq!(spec.to_string().parse(), Ok(spec));
        let unfiltered: ProbeSpec = "ip_rcv/filter=".parse().unwrap();
        assert_eq!(unfiltered.filter, Some(FilterText::default()));
        assert_eq!(unfiltered.to_string().parse(), Ok(unfiltered));
        assert_eq!("ip_rcv/filter=a/filter=b".parse::<ProbeSpec>(), Err(ProbeSpecError::Twice("filter")));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<ProbeSpec>().unwrap_err();
        assert_eq!(error("tp:netif_rx"), ProbeSpecError::Group("netif_rx".to_owned()));
        assert_eq!(error("foo:net:netif_rx"), ProbeSpecError::Type("foo".to_owned()));
        assert_eq!(error("ip_rcv/stak"), ProbeSpecError::Option("stak".to_owned()));
        assert_eq!(error("ip rcv"), ProbeSpecError::Target("ip rcv".to_owned()));
        assert_eq!(error(""), ProbeSpecError::Target(String::new()));
        assert_eq!(error("net:"), ProbeSpecError::Target("net:".to_owned()));
        for target in ["ovs-vswitchd", "ovs-vswitchd:main"] {
            assert_eq!(error(&format!("usdt:{target}")), ProbeSpecError::Process(target.to_owned()));
        }
        assert_eq!(error("usdt:*:main:run_start"), ProbeSpecError::Target("*:main:run_start".to_owned()));
        assert_eq!(error("usdt:a:b:c:d"), ProbeSpecError::Target("a:b:c:d".to_owned()));
        assert_eq!(error("usdt:a:b:c/stack"), ProbeSpecError::Stack);
        assert_eq!(error("k:a:b"), ProbeSpecError::Target("a:b".to_owned()));
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("udp_*", "udp_rcv"));
        assert!(matches("*", ""));
        assert!(matches("*rcv", "ip_rcv"));
        assert!(matches("ip*rcv*", "ip_rcv_core"));
        assert!(matches("a*b*b", "abb"));
        assert!(!matches("a*b*b", "ab"));
        assert!(!matches("udp_*", "__udp_rcv"));
        assert!(!matches("ip_rcv", "ip_rcv_core"));
        assert!(!matches("ab*ba", "aba"));
    }
}
