// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options of `tracer collect`. Those of the collectors come from their registry.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command};
use tracer_core::collector::Collector;
use tracer_core::filter::FilterText;
use tracer_core::kernel::tunnels::TunnelPort;
use tracer_core::probe::ProbeSpec;

use crate::display::DisplayArgs;
use crate::size::parse_size;

/// Where packets enter and leave devices: what is looked at when nothing is said.
const DEFAULT_PROBES: [&str; 2] = ["tp:net:netif_receive_skb", "tp:net:net_dev_start_xmit"];

/// The arguments of `tracer collect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CollectArgs {
    /// What to record at each probe: collectors by name, or `auto` for all that can run here. Some bring probes of their own;
    /// with `auto` they do where no other probe is asked for
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    collectors: Vec<String>,
    /// Where to look: `[TYPE:]TARGET[/stack]`, with TYPE kprobe (k), kretprobe (kr), raw_tracepoint (tp) or usdt. `*` stands for
    /// anything. `/filter=PCAP_FILTER` and `/meta=META_FILTER` give a probe a filter of its own, in place of `-f` and `-m`.
    /// May be given several times; without it, packets are seen entering and leaving devices, and being dropped
    #[arg(short, long = "probe", value_name = "PROBE")]
    probe: Vec<ProbeSpec>,
    /// Record the kernel stack at every probe
    #[arg(long)]
    pub(super) stack: bool,
    /// Probe the functions, too, that stand in the stacks of recorded packets and have a packet as an argument. Records the stacks, as
    /// with `--stack`
    #[arg(long)]
    pub(super) probe_stack: bool,
    /// Only packets that match, in the syntax of tcpdump: `host 10.0.0.1 and tcp port 80`. A packet passes from its first match on
    #[arg(short = 'f', long, value_name = "PCAP_FILTER")]
    filter_packet: Option<String>,
    /// The packet filter also looks at the packets inside tunnels: VXLAN, Geneve, GRE, IP in IP
    #[arg(long)]
    pub(super) filter_inner: bool,
    /// UDP ports of tunnels, besides the well-known ones and those of the tunnel devices there are: `PORT` for VXLAN or Geneve,
    /// or `PORT:KIND` with KIND vxlan, geneve, fou or gue
    #[arg(long, value_name = "PORT[:KIND]", value_delimiter = ',', requires = "filter_inner")]
    pub(super) tunnel_port: Vec<TunnelPort>,
    /// Only packets that match, by the members of their `sk_buff`: `sk_buff.dev.name == "eth0" && sk_buff.len > 1000`
    #[arg(short = 'm', long, value_name = "META_FILTER")]
    filter_meta: Option<String>,
    /// Write events to a file, as JSON
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, default_missing_value = "events.json")]
    pub(super) out: Option<PathBuf>,
    /// Show events on standard output although they are written to a file
    #[arg(long)]
    pub(super) print: bool,
    #[command(flatten)]
    pub(super) display: DisplayArgs,
    /// Collectors may change the system where they need it to see anything, until the end. What is changed is said
    #[arg(long)]
    pub(super) allow_system_changes: bool,
    /// Run a shell command once collection has begun, and stop when it ends
    #[arg(long, value_name = "COMMAND")]
    pub(super) cmd: Option<String>,
    /// Stop after this many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stop_after: Option<u64>,
    /// Stop after this time: seconds, or with a unit, as in `500ms`, `90s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// Record no more events than this in a second. When there are more, only some of the packets are recorded, those with all
    /// of their events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) max_events_per_second: Option<u32>,
    /// Size of the buffer between kernel and user space in bytes, rounded up to a power of two; K, M and G are understood
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_ring_size)]
    pub(super) ring_size: u32,
    /// End with exit code 8 when events were lost
    #[arg(long)]
    pub(super) strict: bool,
    /// Packets that are tracked at a time, rounded up to a power of two
    #[arg(long, value_name = "PACKETS", default_value = "16384", value_parser = parse_table_size, hide = true)]
    pub(super) table_size: u32,
    /// Probes of a profile: they may be missing
    #[arg(long, hide = true)]
    profile_probe: Vec<ProbeSpec>,
    /// Collectors of a profile
    #[arg(long, hide = true, value_delimiter = ',')]
    profile_collectors: Vec<String>,
}

/// A word of `-c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// All that can run.
    Auto,
    /// This one, by the user: it must run.
    Named(&'a str),
    /// This one, by a profile: if it can.
    Suggested(&'a str),
}

impl<'a> Choice<'a> {
    fn of(name: &'a str, otherwise: fn(&'a str) -> Self) -> Self {
        if name == "auto" { Self::Auto } else { otherwise(name) }
    }
}

impl CollectArgs {
    /// The collectors that were asked for.
    pub(super) fn collectors(&self) -> Vec<Choice<'_>> {
        let named = self.collectors.iter().map(|name| Choice::of(name, Choice::Named));
        let suggested = self.profile_collectors.iter().map(|name| Choice::of(name, Choice::Suggested));
        let choices: Vec<Choice<'_>> = named.chain(suggested).collect();
        if choices.is_empty() { vec![Choice::Auto] } else { choices }
    }

    /// The filter of probes that have none of their own.
    pub(super) fn filter(&self) -> FilterText {
        FilterText::new(self.filter_packet.as_deref(), self.filter_meta.as_deref())
    }

    /// The probes that were asked for, or the default ones.
    pub(super) fn probes(&self) -> Vec<ProbeSpec> {
        let mut probes = self.probe.clone();
        probes.extend(self.profile_probe.iter().cloned().map(ProbeSpec::suggested));
        if !self.says_where() {
            let default = DEFAULT_PROBES.iter().filter_map(|probe| probe.parse::<ProbeSpec>().ok());
            probes.extend(default.map(ProbeSpec::suggested));
        }
        probes
    }

    /// Whether the user or a profile says where to look.
    pub(super) fn says_where(&self) -> bool {
        !self.probe.is_empty() || !self.profile_probe.is_empty()
    }
}

/// Adds the options of the collectors to the command.
pub(crate) fn augment(mut command: Command, collectors: &[&'static Collector]) -> Command {
    let mut list = String::from("Collectors:\n");
    for collector in collectors {
        list.push_str(&format!("  {:<14} {}\n", collector.name, collector.about));
        for argument in (collector.arguments)() {
            command = command.arg(argument.help_heading(format!("Options of the collector {}", collector.name)));
        }
    }
    command.after_help(list).args_override_self(true)
}

fn parse_ring_size(text: &str) -> Result<u32, String> {
    // The kernel wants whole pages; 64 KiB is a page on some machines.
    const SMALLEST: u64 = 64 << 10;
    const LARGEST: u64 = 1 << 30;
    let size = parse_size(text)?;
    if !(SMALLEST..=LARGEST).contains(&size) {
        return Err("the buffer can have 64K to 1G".to_owned());
    }
    u32::try_from(size.next_power_of_two()).map_err(|error| error.to_string())
}

fn parse_table_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(size @ 16..=0x0040_0000) => Ok(size.next_power_of_two()),
        _ => Err("16 to 4194304 packets can be tracked".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; there are ms, s, m and h")),
    };
    let number: f64 = number.parse().map_err(|_| "a number is expected, as in `10s`".to_owned())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "it must be more than nothing, and less than forever".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{CollectArgs, augment, parse_duration, parse_ring_size};
    use clap::{ArgAction, Args as _, Command};
    use std::time::Duration;
    use tracer_core::collector;

    #[test]
    fn what_takes_a_list_takes_it_in_pieces() {
        // A profile gives each element by itself.
        let collectors = collector::all().unwrap();
        let command = augment(CollectArgs::augment_args(Command::new("collect")), &collectors);
        let lists: Vec<_> =
            command.get_arguments().filter(|argument| argument.get_value_delimiter().is_some()).collect();
        assert!(lists.len() > 3, "{lists:?}");
        for list in lists {
            assert!(matches!(list.get_action(), ArgAction::Append), "{list:?}");
        }
    }

    #[test]
    fn reads_ring_sizes() {
        assert_eq!(parse_ring_size("100000"), Ok(131_072));
        assert!(parse_ring_size("0").is_err());
        assert!(parse_ring_size("2G").is_err());
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1s", "0", "5 days", "1e30h", "nan"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
