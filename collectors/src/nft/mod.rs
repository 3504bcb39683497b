// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `nft`: see `README.md`.

mod event;
mod listing;
mod rules_reader;
mod rulesets;
mod verdicts;

use std::borrow::Cow;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use tracer_core::collector::{Collector, Decode, DecodeError, Needs, Subject, Wire};
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::btf::Types;
use tracer_core::kernel::privileges::check_module_types;
use tracer_core::probe::{ArgumentType, ProbeSpec, ProbeType, WantedArgument};
use tracer_core::session::text;

use event::NftSection;
use rulesets::Rulesets;

wire!("nft");

// SAFETY: integers, without padding.
unsafe impl Wire for wire::nft_event {}

/// Where the kernel tells of each decision.
const PLACE: &str = "__nft_trace_packet";

const MODULE: &str = "nf_tables";

/// The option that chooses verdicts.
const VERDICTS: &str = "nft-verdicts";

const fn structure(name: &'static str) -> WantedArgument {
    WantedArgument { argument: ArgumentType::Struct(Cow::Borrowed(name)), except: &[] }
}

/// Only [`PLACE`] has it, in every kernel.
static TYPE: WantedArgument =
    WantedArgument { argument: ArgumentType::Enum(Cow::Borrowed("nft_trace_types")), except: &[] };
static INFO: WantedArgument = structure("nft_traceinfo");
static CHAIN: WantedArgument = structure("nft_chain");
static PACKET: WantedArgument = structure("nft_pktinfo");
static VERDICT: WantedArgument = structure("nft_verdict");
static RULE: WantedArgument = structure("nft_rule_dp");

inventory::submit! {
    Collector {
        name: "nft",
        about: "what the rules of nftables decide about packets, and which rule",
        sections: &[SectionDescriptor::of::<NftSection<'static>>()],
        hook: crate::hooks::NFT,
        subjects: &[Subject::Function(PLACE)],
        arguments: || vec![
            Arg::new(VERDICTS)
                .long(VERDICTS)
                .value_name("VERDICT")
                .help("Which decisions of rules and policies are recorded")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .default_values(["drop", "accept"])
                .value_parser(PossibleValuesParser::new(verdicts::choices())),
        ],
        start,
    }
}

fn start(kernel: &Kernel, arguments: &ArgMatches, needs: &mut Needs) -> Result<Box<dyn Decode>, Error> {
    let is_wanted = needs.will_probe(PLACE);
    let is_loaded = is_loaded(kernel);
    if is_loaded {
        check_types(kernel)?;
    } else if !(is_wanted && needs.may_change_system()) {
        let why = format!("the module `{MODULE}` is not loaded, so there are no rules");
        return Err(Error::new(ErrorKind::NotInUse, why));
    }
    check_module_types(kernel)?;
    let mut rulesets = Rulesets::default();
    if is_wanted {
        rulesets = Rulesets::start();
        let note = switch_on(&mut rulesets, needs.may_change_system());
        note.into_iter().for_each(|note| needs.note(note));
        // Adding a table has loaded the module, if it could be added.
        if !is_loaded {
            check_types(kernel)?;
        }
        needs.probe(ProbeSpec::at(ProbeType::Kprobe, PLACE));
    }
    needs.decides_at(&TYPE);
    for (argument, variable) in [
        (&TYPE, "nft_type_argument"),
        (&INFO, "nft_info_argument"),
        (&CHAIN, "nft_chain_argument"),
        (&PACKET, "nft_packet_argument"),
        (&VERDICT, "nft_verdict_argument"),
        (&RULE, "nft_rule_argument"),
    ] {
        needs.argument(argument, variable);
    }
    let wanted = arguments.get_many::<String>(VERDICTS).into_iter().flatten().map(String::as_str);
    needs.constant("nft_verdicts", verdicts::bits(wanted).to_ne_bytes());
    needs.event_bytes(3 * wire::NFT_NAME_SIZE + size_of::<wire::nft_event>() as u32);
    Ok(Box::new(Decoder { rulesets, step: None }))
}

fn is_loaded(kernel: &Kernel) -> bool {
    kernel.path("sys/module").join(MODULE).exists()
        || kernel.vmlinux().is_ok_and(|vmlinux| Types::new(vmlinux, None).function_id(PLACE).is_some())
}

/// Whether the kernel says what it needs to know about itself.
fn check_types(kernel: &Kernel) -> Result<(), Error> {
    if kernel.all_types()?.iter().any(|(_, types)| types.function_id(PLACE).is_some()) {
        return Ok(());
    }
    if kernel.path("sys/kernel/btf").join(MODULE).exists() {
        let why = format!("the module `{MODULE}` was loaded only just now");
        return Err(Error::new(ErrorKind::KernelLacks, why).with_hint("start it again"));
    }
    Err(Error::new(
        ErrorKind::KernelLacks,
        "this kernel does not describe its modules: what rules decide can't be read",
    ))
}

/// Has the kernel tell what rules decide, if that is allowed and needed. Returns what the user should know.
fn switch_on(rulesets: &mut Rulesets, is_allowed: bool) -> Option<String> {
    if rulesets.is_tracing() {
        return is_allowed.then(|| "nft: some rule sets nftrace already: nothing is changed".to_owned());
    }
    let silent =
        "nft: there will be no events of rules: the kernel tells what rules decide only while some rule sets nftrace";
    if !is_allowed {
        return Some(format!(
            "{silent}; with --allow-system-changes one is added, in a table of its own that no packet comes to"
        ));
    }
    if let Some(why) = rulesets.missing() {
        return Some(format!("{silent}, and none can be added: {why}"));
    }
    Some(match rulesets.switch_on() {
        Ok(table) => format!(
            "nft: the table `ip {table}` is added until the end, so that the kernel tells what rules decide; no packet comes to it"
        ),
        Err(error) => format!("{silent}, and none can be added: {error}"),
    })
}

/// What the sections of an event have said so far.
struct Step {
    event: wire::nft_event,
    table: String,
    chain: String,
    target: Option<String>,
}

struct Decoder {
    rulesets: Rulesets,
    step: Option<Step>,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], _event: &mut EventJson) -> Result<(), DecodeError> {
        let number = u32::from(kind);
        if number == wire::NFT_STEP {
            let (event, _) = wire::nft_event::read(kind, bytes)?;
            self.step = Some(Step { event, table: String::new(), chain: String::new(), target: None });
            return Ok(());
        }
        let step = self.step.as_mut().ok_or(DecodeError::Kind(kind))?;
        let name = text(bytes).into_owned();
        match number {
            wire::NFT_TABLE => step.table = name,
            wire::NFT_CHAIN => step.chain = name,
            wire::NFT_TARGET => step.target = Some(name),
            _ => return Err(DecodeError::Kind(kind)),
        }
        Ok(())
    }

    fn end(&mut self, event: &mut EventJson) -> Result<(), DecodeError> {
        let Some(Step { event: step, table, chain, target }) = self.step.take() else { return Ok(()) };
        let has = |flag: u32| step.flags & flag != 0;
        let namespace = (step.net_cookie, step.net_inum);
        let rule = has(wire::NFT_HAS_RULE)
            .then(|| self.rulesets.get(namespace, step.table_handle, step.rule_handle))
            .flatten();
        let verdict = verdicts::name(step.verdict).map_or_else(|| step.verdict.to_string().into(), Cow::Borrowed);
        let has_base = has(wire::NFT_HAS_BASE);
        event.section(&NftSection {
            table_name: table.into(),
            chain_name: chain.into(),
            verdict,
            verdict_chain_name: target.map(Cow::Owned),
            table_handle: step.table_handle.cast_signed(),
            chain_handle: step.chain_handle.cast_signed(),
            rule_handle: has(wire::NFT_HAS_RULE).then_some(step.rule_handle.cast_signed()),
            policy: has(wire::NFT_IS_POLICY),
            rule: rule.map(|rule| Cow::Borrowed(&*rule.text)),
            made_by: rule.filter(|rule| rule.by_iptables).map(|_| "iptables-nft".into()),
            family: family(step.family).map(Cow::Borrowed),
            hook: hook(step.family, step.hook).filter(|_| has_base).map(Cow::Borrowed),
            priority: has_base.then_some(step.priority),
        })?;
        Ok(())
    }

    fn remark(&self) -> Option<String> {
        Some(self.rulesets.to_string()).filter(|remark| !remark.is_empty())
    }
}

/// The families of tables: `NFPROTO_...` in `linux/netfilter.h`.
fn family(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    })
}

/// The hooks of a family: `enum nf_inet_hooks` and its like, in nft's words.
fn hook(family: u32, number: u32) -> Option<&'static str> {
    let hooks: &[&str] = match family {
        3 => &["input", "output"],
        5 => &["ingress", "egress"],
        _ => &["prerouting", "input", "forward", "output", "postrouting", "ingress"],
    };
    hooks.get(number as usize).copied()
}

#[cfg(test)]
mod tests {
    use tracer_core::collector::Decode as _;
    use tracer_core::event::json::EventJson;

    use super::rulesets::Rulesets;
    use super::{Decoder, family, hook, wire};

    fn decoder() -> Decoder {
        Decoder { rulesets: Rulesets::default(), step: None }
    }

    /// As the hook writes it.
    fn step(verdict: i32, flags: u32) -> Vec<u8> {
        let words = [9_u64, 2, 12, 70].map(u64::to_ne_bytes).concat();
        let numbers = [7, verdict.cast_unsigned(), 1, 5, 1, flags].map(u32::to_ne_bytes).concat();
        [words, numbers].concat()
    }

    fn event(sections: &[(u32, &[u8])]) -> Result<String, String> {
        let mut decoder = decoder();
        let mut json = EventJson::new();
        json.begin();
        for (kind, bytes) in sections {
            decoder.decode(*kind as u8, bytes, &mut json).map_err(|error| error.to_string())?;
        }
        decoder.end(&mut json).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(json.finish()).into_owned())
    }

    #[test]
    fn a_record_becomes_a_section() {
        let drop = step(0, wire::NFT_HAS_RULE | wire::NFT_HAS_BASE);
        let names = [(wire::NFT_TABLE, &b"filter\0xx"[..]), (wire::NFT_CHAIN, b"input\0\0\0")];
        assert_eq!(
            event(&[(wire::NFT_STEP, &drop), names[0], names[1]]).unwrap(),
            concat!(
                r#"{"nft":{"table_name":"filter","chain_name":"input","verdict":"drop","table_handle":9,"chain_handle":2,"#,
                r#""rule_handle":12,"policy":false,"family":"inet","hook":"input","priority":5}}"#,
                "\n"
            )
        );
        let jump = step(-3, wire::NFT_HAS_RULE);
        let shown = event(&[(wire::NFT_STEP, &jump), names[0], names[1], (wire::NFT_TARGET, b"\xffweb")]).unwrap();
        assert!(shown.contains("\"verdict\":\"jump\",\"verdict_chain_name\":\"\u{fffd}web\""), "{shown}");
        assert!(!shown.contains("hook"), "{shown}");
        let odd = event(&[(wire::NFT_STEP, &step(77, wire::NFT_IS_POLICY))]).unwrap();
        assert!(
            odd.contains(r#""verdict":"77""#) && odd.contains(r#""policy":true"#) && !odd.contains("rule_handle"),
            "{odd}"
        );
        assert_eq!(event(&[]).unwrap(), "{}\n", "of a probe elsewhere");
    }

    #[test]
    fn a_record_that_is_cut_off_is_refused() {
        let whole = step(0, 0);
        for length in 0..whole.len() {
            assert!(event(&[(wire::NFT_STEP, &whole[..length])]).is_err(), "{length} bytes");
        }
        assert!(event(&[(wire::NFT_TABLE, b"x")]).is_err(), "a name of nothing");
        assert!(event(&[(wire::NFT_STEP, &whole), (99, b"x")]).is_err());
    }

    #[test]
    fn hooks_are_named_by_family() {
        assert_eq!((family(5), hook(5, 1)), (Some("netdev"), Some("egress")));
        assert_eq!((family(2), hook(2, 4)), (Some("ip"), Some("postrouting")));
        assert_eq!((family(3), hook(3, 0)), (Some("arp"), Some("input")));
        assert_eq!((family(99), hook(2, 99)), (None, None));
    }
}
