// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the records of the ring to lines of JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tracer_ebpf::wire;

use crate::collector::{Decode, DecodeError, Wire as _};
use crate::event::core_sections::{
    CommonSection, KernelProbeType, KernelSection, Loss, LossSection, PacketKey, Task, UserspaceProbeType,
    UserspaceSection,
};
use crate::event::json::EventJson;
use crate::event::verdict_section::InFlightSection;
use crate::kernel::Kernel;
use crate::kernel::symbol_source::SymbolSource;
use crate::probe::{Probe, ProbeType};

use super::Running;
use super::growth::Growth;
use super::tracking::LINK_PLACES;

/// Turns records into event lines. Allocates for a stack that was not seen before, and for nothing else.
pub(super) struct Recorder<'k> {
    symbols: SymbolSource,
    /// By collector number.
    decoders: Vec<Option<&'k mut dyn Decode>>,
    /// Those of the session, and the places where tracking makes events of its own.
    probes: Vec<Place>,
    frames: HashMap<u64, Cow<'static, str>>,
    json: EventJson,
    /// The index of the first probe that is added while collection goes on, if any are.
    first_added: usize,
    growth: Option<&'k Growth>,
    /// Events written, by probe; the places and what was added come last.
    pub(super) stored: Vec<u64>,
    /// Records that could not be read, and what was wrong with the first.
    pub(super) unreadable: u64,
    pub(super) first_error: Option<DecodeError>,
}

/// What is written about a probe.
enum Place {
    Kernel { symbol: String, probe_type: KernelProbeType },
    User { symbol: String, path: String },
}

impl Place {
    fn of(probe: &Probe) -> Self {
        let probe_type = match probe.probe_type {
            ProbeType::Kprobe => KernelProbeType::Kprobe,
            ProbeType::Kretprobe => KernelProbeType::Kretprobe,
            ProbeType::RawTracepoint => KernelProbeType::RawTracepoint,
            ProbeType::Usdt => {
                let path = probe.user.as_ref().map(|place| place.path.clone()).unwrap_or_default();
                return Self::User { symbol: probe.symbol().to_owned(), path };
            }
        };
        Self::Kernel { symbol: probe.target.clone(), probe_type }
    }
}

impl<'k> Recorder<'k> {
    /// Takes the decoders of the collectors, each of which is the only one of its number.
    pub(super) fn new(
        kernel: &Kernel,
        probes: &[Probe],
        growth: Option<&'k Growth>,
        collectors: &'k mut [Running],
    ) -> Self {
        let mut by_number: Vec<Option<&mut dyn Decode>> = Vec::new();
        for running in collectors {
            let number = usize::from(running.collector.hook.number);
            if by_number.len() <= number {
                by_number.resize_with(number + 1, || None);
            }
            by_number[number] = Some(&mut *running.decoder);
        }
        let places = LINK_PLACES
            .iter()
            .map(|place| Place::Kernel { symbol: (*place).to_owned(), probe_type: KernelProbeType::Kretprobe });
        let probes: Vec<_> = probes.iter().map(Place::of).chain(places).collect();
        Self {
            symbols: kernel.symbol_source(),
            decoders: by_number,
            frames: HashMap::new(),
            json: EventJson::new(),
            stored: vec![0; probes.len()],
            first_added: probes.len(),
            growth,
            probes,
            unreadable: 0,
            first_error: None,
        }
    }

    /// The event of a record as a line of JSON. Nothing when it can't be read, which is counted.
    pub(super) fn event(&mut self, record: &[u8]) -> Option<&[u8]> {
        match self.build(record) {
            Ok(probe) => {
                self.stored[probe] += 1;
                Some(self.json.finish())
            }
            Err(error) => {
                self.unreadable += 1;
                self.first_error.get_or_insert(error);
                // What decoders kept of this event must not show up in the next.
                for decoder in self.decoders.iter_mut().flatten() {
                    let _ = decoder.end(&mut self.json);
                }
                None
            }
        }
    }

    /// The line for what was lost.
    pub(super) fn loss(&mut self, timestamp: u64, losses: &[Loss<'_>]) -> Result<&[u8], serde_json::Error> {
        self.json.begin();
        self.json.section(&CommonSection { timestamp, smp_id: None, task: None })?;
        self.json.section(&LossSection(Cow::Borrowed(losses)))?;
        Ok(self.json.finish())
    }

    /// The line for the packets that are there at the end.
    pub(super) fn in_flight(&mut self, timestamp: u64, packets: &[PacketKey]) -> Result<&[u8], serde_json::Error> {
        self.json.begin();
        self.json.section(&CommonSection { timestamp, smp_id: None, task: None })?;
        self.json.section(&InFlightSection(Cow::Borrowed(packets)))?;
        Ok(self.json.finish())
    }

    /// Learns about probes that were added, up to this index.
    fn learn(&mut self, index: usize) {
        while let Some(probe) = self.growth.and_then(|growth| growth.added(self.probes.len() - self.first_added))
            && self.probes.len() <= index
        {
            self.probes.push(Place::of(&probe));
            self.stored.push(0);
        }
    }

    fn build(&mut self, record: &[u8]) -> Result<usize, DecodeError> {
        let (header, mut rest) = wire::record_header::read(wire::COLLECTOR_CORE as u8, record)?;
        let probe = header.probe as usize;
        if probe >= self.probes.len() {
            self.learn(probe);
        }
        let place = self.probes.get(probe).ok_or(DecodeError::Kind(wire::COLLECTOR_CORE as u8))?;

        self.json.begin();
        // SAFETY: `c_char` and `u8` are both one byte, for which any value is valid.
        let comm: [u8; 16] = unsafe { std::mem::transmute(header.comm) };
        self.json.section(&CommonSection {
            timestamp: header.timestamp,
            smp_id: Some(u32::from(header.cpu)),
            task: Some(Task { pid: header.process_id as i32, tgid: header.thread_id as i32, comm: text(&comm) }),
        })?;

        match place {
            Place::Kernel { symbol, probe_type } => {
                let frames: Option<Vec<Cow<'_, str>>> = match find_section(rest, wire::CORE_STACK)? {
                    None => None,
                    Some(stack) => Some(name_frames(&self.symbols, &mut self.frames, self.growth, stack)),
                };
                self.json.section(&KernelSection {
                    symbol: Cow::Borrowed(symbol),
                    probe_type: *probe_type,
                    stack_trace: frames.map(Cow::Owned),
                })?;
            }
            Place::User { symbol, path } => {
                let ip = find_section(rest, wire::CORE_USER)?.and_then(|bytes| bytes.try_into().ok());
                self.json.section(&UserspaceSection {
                    probe_type: UserspaceProbeType::Usdt,
                    symbol: Cow::Borrowed(symbol),
                    // It is there, unless there was no room for it, which is counted.
                    ip: ip.map_or(0, u64::from_ne_bytes),
                    path: Cow::Borrowed(path),
                    pid: header.process_id as i32,
                    tid: header.thread_id as i32,
                })?;
            }
        }

        while !rest.is_empty() {
            let (section, bytes, behind) = split_section(rest)?;
            rest = behind;
            if u32::from(section.collector) == wire::COLLECTOR_CORE {
                continue;
            }
            let decoder = self.decoders.get_mut(usize::from(section.collector)).and_then(Option::as_mut);
            decoder.ok_or(DecodeError::Kind(section.kind))?.decode(section.kind, bytes, &mut self.json)?;
        }
        for decoder in self.decoders.iter_mut().flatten() {
            decoder.end(&mut self.json)?;
        }
        Ok(probe)
    }
}

/// Text that the kernel ended with a zero byte. What is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len())])
}

fn split_section(bytes: &[u8]) -> Result<(wire::section_header, &[u8], &[u8]), DecodeError> {
    let (section, rest) = wire::section_header::read(wire::COLLECTOR_CORE as u8, bytes)?;
    let short = DecodeError::Short { kind: section.kind, length: rest.len() };
    let (own, behind) = rest.split_at_checked(section.size as usize).ok_or(short)?;
    Ok((section, own, behind))
}

/// What the core adds stands behind the sections of the collectors, but belongs into the section in front of them.
fn find_section(mut rest: &[u8], kind: wire::core_section) -> Result<Option<&[u8]>, DecodeError> {
    while !rest.is_empty() {
        let (section, bytes, behind) = split_section(rest)?;
        if u32::from(section.collector) == wire::COLLECTOR_CORE && u32::from(section.kind) == kind {
            return Ok(Some(bytes));
        }
        rest = behind;
    }
    Ok(None)
}

/// Names the return addresses, innermost first. The frames of the tracing machinery itself, on top, are left out.
fn name_frames<'a>(
    symbols: &SymbolSource,
    known: &'a mut HashMap<u64, Cow<'static, str>>,
    growth: Option<&Growth>,
    stack: &[u8],
) -> Vec<Cow<'a, str>> {
    let addresses = || stack.chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()));
    for address in addresses() {
        if let Entry::Vacant(entry) = known.entry(address) {
            let frame = entry.insert(symbols.locate(address).unwrap_or_else(|| format!("{address:#x}")).into());
            growth.inspect(|growth| growth.frame(frame));
        }
    }
    let names = addresses().filter_map(|address| known.get(&address)).map(|name| Cow::Borrowed(&**name));
    names.skip_while(|name| is_tracing(name)).collect()
}

fn is_tracing(frame: &str) -> bool {
    ["bpf_", "__bpf_", "__traceiter_", "0x", "ftrace_", "fprobe_", "kprobe_", "arch_rethook", "rethook_"]
        .iter()
        .any(|prefix| frame.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt;

    use schemars::JsonSchema;
    use serde::Serialize;
    use tracer_ebpf::wire;

    use super::Recorder;
    use crate::collector::{Collector, Decode, DecodeError, Hook, Needs};
    use crate::event::core_sections::Loss;
    use crate::event::json::EventJson;
    use crate::event::section::{Place, Section};
    use crate::event::text::TextOptions;
    use crate::kernel::Kernel;
    use crate::probe::{Origin, PacketPlace, Probe, ProbeType};
    use crate::session::Running;

    static COLLECTOR: Collector = Collector {
        name: "lengths",
        about: "for tests",
        sections: &[],
        hook: Hook { number: 2, object: &[] },
        subjects: &[],
        arguments: Vec::new,
        start: |_, _, _| Ok(Box::new(Lengths(Vec::new()))),
    };

    /// Writes how long its sections were, at the end of the event.
    struct Lengths(Vec<usize>);

    #[derive(JsonSchema, Serialize)]
    struct LengthsSection(Vec<usize>);

    impl Section for LengthsSection {
        const NAME: &'static str = "lengths";
        const PLACE: Place = Place::Line;

        fn write_text(&self, _: &mut dyn fmt::Write, _: &TextOptions) -> fmt::Result {
            Ok(())
        }
    }

    impl Decode for Lengths {
        fn decode(&mut self, kind: u8, bytes: &[u8], _: &mut EventJson) -> Result<(), DecodeError> {
            if kind != 0 {
                return Err(DecodeError::Kind(kind));
            }
            self.0.push(bytes.len());
            Ok(())
        }

        fn end(&mut self, event: &mut EventJson) -> Result<(), DecodeError> {
            Ok(event.section(&LengthsSection(std::mem::take(&mut self.0)))?)
        }
    }

    fn bytes_of<T>(value: &T) -> Vec<u8> {
        // SAFETY: only used for wire structs, which have no padding that the compiler made.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
    }

    fn record(sections: &[(u32, u8, &[u8])]) -> Vec<u8> {
        let header = wire::record_header { timestamp: 7, process_id: 5, thread_id: 6, cpu: 1, ..Default::default() };
        let mut record = bytes_of(&header);
        for (collector, kind, bytes) in sections {
            let section = wire::section_header {
                collector: *collector as u8,
                kind: *kind,
                size: bytes.len() as u32,
                ..Default::default()
            };
            record.extend(bytes_of(&section));
            record.extend_from_slice(bytes);
        }
        record
    }

    fn with_recorder(test: impl FnOnce(&mut Recorder<'_>)) {
        let root = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(root.path().join("proc")).expect("a folder can be made");
        let symbols =
            "ffffffff81000000 T bpf_trace_run1\nffffffff81000100 T ip_rcv\nffffffff81000200 T net_rx_action\n";
        std::fs::write(root.path().join("proc/kallsyms"), symbols).expect("a file can be written");
        let kernel = Kernel::new(root.path());
        let probe = Probe {
            probe_type: ProbeType::Kprobe,
            target: "ip_rcv".to_owned(),
            module: None,
            stack: true,
            filter: None,
            origin: Origin::Named,
            packet: PacketPlace::Nowhere,
            device_argument: None,
            namespace_argument: None,
            socket_argument: None,
            arguments: Vec::new(),
            packet_may_be_gone: false,
            user: None,
        };
        let mut running = [Running {
            collector: &COLLECTOR,
            named: false,
            needs: Needs::default(),
            decoder: Box::new(Lengths(Vec::new())),
        }];
        test(&mut Recorder::new(&kernel, &[probe], None, &mut running));
    }

    #[test]
    fn a_record_becomes_a_line() {
        with_recorder(|recorder| {
            let stack: Vec<u8> = [0xffff_ffff_8100_0004_u64, 0xffff_ffff_8100_0110, 0xffff_ffff_8100_0200]
                .map(u64::to_ne_bytes)
                .concat();
            let record = record(&[(2, 0, b"abc"), (wire::COLLECTOR_CORE, wire::CORE_STACK as u8, &stack), (2, 0, b"")]);
            let line = recorder.event(&record).map(|line| String::from_utf8_lossy(line).into_owned());
            assert_eq!(
                line.as_deref(),
                Some(concat!(
                    r#"{"common":{"timestamp":7,"smp_id":1,"task":{"pid":5,"tgid":6,"comm":""}},"#,
                    r#""kernel":{"symbol":"ip_rcv","probe_type":"kprobe","stack_trace":["ip_rcv+0x10","net_rx_action+0x0"]},"#,
                    r#""lengths":[3,0]}"#,
                    "\n"
                ))
            );
            assert_eq!(recorder.stored, [1, 0, 0, 0]);
        });
    }

    #[test]
    fn a_hit_in_a_program_says_where() {
        let place = super::Place::User { symbol: "main:run_start".to_owned(), path: "/usr/sbin/a".to_owned() };
        with_recorder(|recorder| {
            recorder.probes[0] = place;
            let ip = 0x1234_u64.to_ne_bytes();
            let record = record(&[(wire::COLLECTOR_CORE, wire::CORE_USER as u8, &ip)]);
            let line = recorder.event(&record).map(|line| String::from_utf8_lossy(line).into_owned());
            assert_eq!(
                line.as_deref(),
                Some(concat!(
                    r#"{"common":{"timestamp":7,"smp_id":1,"task":{"pid":5,"tgid":6,"comm":""}},"#,
                    r#""userspace":{"probe_type":"usdt","symbol":"main:run_start","ip":4660,"path":"/usr/sbin/a","pid":5,"tid":6},"#,
                    r#""lengths":[]}"#,
                    "\n"
                ))
            );
        });
    }

    #[test]
    fn a_record_that_is_cut_off_anywhere_is_counted() {
        with_recorder(|recorder| {
            let whole = record(&[(2, 0, b"abc")]);
            let header = size_of::<wire::record_header>();
            for length in (0..whole.len()).filter(|&length| length != header) {
                assert!(recorder.event(&whole[..length]).is_none(), "{length} bytes");
            }
            assert_eq!(recorder.unreadable, whole.len() as u64 - 1);
            assert_eq!(recorder.stored, [0, 0, 0, 0]);
        });
    }

    #[test]
    fn what_a_bad_record_had_does_not_show_up_in_the_next() {
        with_recorder(|recorder| {
            assert!(recorder.event(&record(&[(2, 0, b"abc"), (2, 9, b"")])).is_none(), "there is no kind 9");
            assert!(recorder.event(&record(&[(2, 0, b"abc"), (3, 0, b"")])).is_none(), "there is no collector 3");
            let line = recorder.event(&record(&[(2, 0, b"a")])).map(|line| String::from_utf8_lossy(line).into_owned());
            assert!(line.is_some_and(|line| line.contains(r#""lengths":[1]"#)));
            assert_eq!(recorder.unreadable, 2);
        });
    }

    #[test]
    fn losses_are_a_line_too() {
        with_recorder(|recorder| {
            let losses =
                [Loss { cause: Cow::Borrowed("ring_full"), probe: Some(Cow::Borrowed("kprobe:ip_rcv")), count: 3 }];
            assert_eq!(
                String::from_utf8_lossy(recorder.loss(9, &losses).expect("it can be written")),
                "{\"common\":{\"timestamp\":9},\"loss\":[{\"cause\":\"ring_full\",\"probe\":\"kprobe:ip_rcv\",\"count\":3}]}\n"
            );
        });
    }
}
