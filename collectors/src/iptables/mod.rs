// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `iptables`: see `README.md`.

mod event;

use std::borrow::Cow;

use tracer_core::collector::{Collector, Decode, DecodeError, Needs, OwnProgram, Subject, Wire};
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::privileges::check_module_types;
use tracer_core::probe::ProbeType;
use tracer_core::session::text;

use event::IptablesSection;

wire!("iptables");

// SAFETY: integers and an array of them, without padding of the compiler's.
unsafe impl Wire for wire::iptables_event {}

/// The kernel modules, in the order of [`EVENTS`].
const MODULES: [&str; 2] = ["ip_tables", "ip6_tables"];

const EVENTS: [OwnProgram; 2] = [
    OwnProgram {
        name: "iptables_ipv4",
        place: "ipt_do_table",
        arguments: 3,
        events: Some((ProbeType::Kretprobe, "iptables_ipv4_index")),
        without: "drops of iptables-legacy",
    },
    OwnProgram {
        name: "iptables_ipv6",
        place: "ip6t_do_table",
        arguments: 3,
        events: Some((ProbeType::Kretprobe, "iptables_ipv6_index")),
        without: "drops of ip6tables-legacy",
    },
];

inventory::submit! {
    Collector {
        name: "iptables",
        about: "in which table and chain iptables-legacy drops packets",
        sections: &[SectionDescriptor::of::<IptablesSection<'static>>()],
        hook: crate::hooks::IPTABLES,
        subjects: &[Subject::OwnPrograms(&EVENTS)],
        arguments: Vec::new,
        start: |kernel, _, needs| start(kernel, needs),
    }
}

fn start(kernel: &Kernel, needs: &mut Needs) -> Result<Box<dyn Decode>, Error> {
    let exists = |module: &str| kernel.path("sys/module").join(module).exists();
    let loaded: Vec<(&str, OwnProgram)> =
        MODULES.into_iter().zip(EVENTS).filter(|(module, _)| exists(module)).collect();
    if loaded.is_empty() {
        let [ipv4, ipv6] = MODULES;
        return Err(Error::new(
            ErrorKind::NotInUse,
            format!("neither module `{ipv4}` nor `{ipv6}` is loaded, so there are no rules of iptables-legacy"),
        ));
    }
    for (module, _) in &loaded {
        if !kernel.path("sys/kernel/btf").join(module).exists() {
            let why = format!("this kernel has no type information (BTF) for its module `{module}`");
            return Err(Error::new(ErrorKind::KernelLacks, why)
                .with_hint("it takes Linux 5.11 or later, with CONFIG_DEBUG_INFO_BTF_MODULES"));
        }
    }
    check_module_types(kernel)?;
    let programs: Vec<OwnProgram> = loaded.into_iter().map(|(_, program)| program).collect();
    if needs.programs(kernel, &programs)?.is_empty() {
        return Err(Error::new(ErrorKind::KernelLacks, "this kernel's iptables has nothing that tracer knows"));
    }
    Ok(Box::new(Decoder))
}

struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        if u32::from(kind) != wire::IPTABLES_DROP {
            return Err(DecodeError::Kind(kind));
        }
        let (drop, _) = wire::iptables_event::read(kind, bytes)?;
        event.section(&IptablesSection {
            family: family(drop.family),
            table: text(&drop.table),
            chain: chain(drop.hook),
            verdict: "drop".into(),
        })?;
        Ok(())
    }
}

/// NFPROTO_*, from `linux/netfilter.h`.
fn family(number: u8) -> Cow<'static, str> {
    match number {
        2 => "ip".into(),
        10 => "ip6".into(),
        _ => number.to_string().into(),
    }
}

/// `enum nf_inet_hooks`, from `linux/netfilter.h`, in the words of iptables.
fn chain(hook: u8) -> Cow<'static, str> {
    match hook {
        0 => "PREROUTING".into(),
        1 => "INPUT".into(),
        2 => "FORWARD".into(),
        3 => "OUTPUT".into(),
        4 => "POSTROUTING".into(),
        _ => hook.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::collector::Decode as _;
    use tracer_core::event::json::EventJson;

    use super::{Decoder, wire};

    fn event(kind: u32, bytes: &[u8]) -> Result<String, String> {
        let mut json = EventJson::new();
        json.begin();
        Decoder.decode(kind as u8, bytes, &mut json).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(json.finish()).into_owned())
    }

    #[test]
    fn a_record_becomes_a_section() {
        let record = |family: u8, hook: u8| {
            let mut record = vec![family, hook, 0, 0, 0, 0, 0, 0];
            record.extend_from_slice(b"mangle\0x");
            record.resize(40, 7);
            record
        };
        assert_eq!(
            event(wire::IPTABLES_DROP, &record(10, 2)).unwrap(),
            concat!(r#"{"iptables":{"family":"ip6","table":"mangle","chain":"FORWARD","verdict":"drop"}}"#, "\n")
        );
        assert!(event(wire::IPTABLES_DROP, &record(7, 9)).unwrap().contains(r#""chain":"9""#));
        assert!(event(wire::IPTABLES_DROP, &record(2, 1)[..30]).is_err());
        assert!(event(99, &record(2, 1)).is_err());
    }
}
