// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A session of collecting: load, attach, enable, read, stop.
//!
//! ```text
//! Session::open ── resolve probes ── link hooks ── load ── attach ──▶ Session::run
//!                                                                      │ enable
//!            kernel: probe hit ─▶ hooks ─▶ ring                        ▼
//!                                           └─▶ mover ─▶ queue ─▶ writer ─▶ Sink
//!                                                                      │ stop
//!                     disable ─▶ wait for programs ─▶ drain ring and queue ─▶ Summary
//! ```
//!
//! Attachments go away when the session is refused, after everything has been written.

mod attach;
mod growth;
mod kprobe;
mod link;
mod load;
mod loss;
mod messages;
mod preflight;
pub(crate) mod privileges;
mod processes;
mod reader;
mod record;
mod tracking;
mod variables;

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use tracer_ebpf::wire;

use crate::collector::{Collector, Decode, Needs, OwnProgram};
use crate::error::{Error, ErrorKind};
use crate::event::core_sections::Loss;
use crate::filter::{self, Filter, FilterText};
use crate::kernel::Kernel;
use crate::kernel::features::Features;
use crate::kernel::privileges::{Capability, needed as privileges_needed};
use crate::kernel::tunnels::TunnelPorts;
use crate::probe::{Origin, Probe, ProbeSpec, ProbeType, resolve};

use attach::Attachments;
use growth::Growth;
use load::{Loaded, Plan, RefusedHook};
use privileges::drop_privileges;

use loss::LossCounters;
pub(crate) use preflight::features;
use processes::Processes;
use reader::{Message, News};
use record::Recorder;
pub(crate) use tracking::tracking_programs;

pub use attach::{AttachTable, Means};
pub use load::ProgramReport;
pub use loss::{LossKey, LossTable, SAMPLED_OUT, is_lost_event};
pub use reader::Sink;
pub use record::text;

/// How often counters are looked at while collecting.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);

/// Variables of the programs that lead from a page to its memory, and the symbols at whose addresses the kernel keeps them; the names
/// are those of x86.
const PAGE_SYMBOLS: [(&str, &str); 2] =
    [("vmemmap_base_at", "vmemmap_base"), ("page_offset_base_at", "page_offset_base")];

const NS_PER_SECOND: u64 = 1_000_000_000;

/// What a session is opened with.
#[derive(Debug)]
pub struct Options<'a> {
    /// The collectors' dispatcher, compiled.
    pub dispatcher: &'static [u8],
    /// The collectors to start.
    pub collectors: Vec<Chosen>,
    /// The command line's values of the collectors' own options.
    pub arguments: &'a ArgMatches,
    /// Where to look.
    pub probes: Vec<ProbeSpec>,
    /// Record the kernel stack at all of them, and at those that collectors bring.
    pub stack: bool,
    /// The filter of probes that have none of their own.
    pub filter: FilterText,
    /// All filters that are asked for, translated.
    pub filters: Vec<Filter>,
    /// Packet filters look at the packets in tunnels, too; those in UDP are told by these ports. None: they do not.
    pub tunnel_ports: Option<TunnelPorts>,
    /// Size of the ring between kernel and user space in bytes; a power of two and a multiple of the page size.
    pub ring_size: u32,
    /// Packets tracked at a time; a power of two.
    pub table_size: u32,
    /// Functions in the stacks of recorded packets become probes, too.
    pub probe_stack: bool,
    /// What a collector needs to be changed on the system may be changed.
    pub may_change_system: bool,
    /// Events that are recorded in a second at most. When there are more, packets are left out with all of their events.
    pub max_events_per_second: Option<u32>,
}

/// A collector that is to be started.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// It.
    pub collector: &'static Collector,
    /// By the user: its failure is an error.
    pub named: bool,
    /// By nobody in particular, but with all others: what it is about need not be there.
    pub automatic: bool,
    /// The probes that it brings are wanted, not only what it has to say at others.
    pub with_probes: bool,
}

/// A collector that takes part.
struct Running {
    collector: &'static Collector,
    /// By the user: it must not be missing.
    named: bool,
    needs: Needs,
    decoder: Box<dyn Decode>,
}

impl Running {
    /// The programs of its own that are wanted: those that stand at one of the probes; and those that make no events, when there is
    /// such a one, or when it follows packets.
    fn programs(&self, probes: &[Probe]) -> impl Iterator<Item = &OwnProgram> {
        let stands = |program: &OwnProgram| probes.iter().any(|probe| program.is_at(probe));
        let with_silent = self.needs.tracking.is_some() || self.needs.programs.iter().any(stands);
        self.needs.programs.iter().filter(move |program| match program.events {
            Some(_) => stands(program),
            None => with_silent,
        })
    }
}

/// A loaded and attached session; collection has not begun.
pub struct Session<'k> {
    kernel: &'k Kernel,
    probes: Vec<Probe>,
    collectors: Vec<Running>,
    table: AttachTable,
    warnings: Vec<String>,
    limits: Option<String>,
    counters: LossCounters,
    max_events_per_second: Option<u32>,
    features: Features,
    growth: Option<Growth>,
    processes: Processes,
    /// A collector shows which packet an event is of.
    shows_packets: bool,
    // Dropped in this order: detach, then unload.
    attachments: Attachments,
    loaded: Loaded,
}

/// What a session did.
#[derive(Debug)]
pub struct Summary {
    /// Events written, without `loss` events.
    pub events: u64,
    /// Events written, by probe, in the order of [`Session::probes`].
    pub events_by_probe: Vec<u64>,
    /// What was lost.
    pub losses: LossTable,
    /// How many packets were recorded, when there was a limit to the events in a second.
    pub sampling: Option<Sampling>,
    /// Why writing ended early.
    pub write_error: Option<io::Error>,
    /// Why the first unreadable record could not be read.
    pub first_unreadable: Option<String>,
    /// What the collectors could not find out, in words.
    pub remarks: Vec<String>,
}

/// What a limit to the events in a second did.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// The limit.
    pub max_events_per_second: u32,
    /// Packets that were seen.
    pub packets: u64,
    /// Those of them that were not recorded.
    pub packets_left_out: u64,
    /// The share of packets, from 0 to 1, that was let through last.
    pub share: f64,
    /// The lowest share.
    pub lowest_share: f64,
}

impl<'k> Session<'k> {
    /// Loads and attaches everything.
    ///
    /// # Errors
    /// When a collector or a probe that the user named can't be had, or nothing can be loaded at all.
    pub fn open(kernel: &'k Kernel, options: Options<'_>) -> Result<Self, Error> {
        messages::keep();
        let features = preflight::features(kernel)?;

        let max_events_per_second = options.max_events_per_second;
        let mut warnings = Vec::new();
        let mut collectors = Vec::new();
        for Chosen { collector, named, automatic, with_probes } in options.collectors {
            if automatic && !with_probes && !collector.is_concerned(&options.probes, options.arguments) {
                continue;
            }
            let mut needs = Needs {
                session_probes: options.probes.clone(),
                takes_probes: with_probes,
                may_change_system: options.may_change_system,
                ..Needs::default()
            };
            match (collector.start)(kernel, options.arguments, &mut needs) {
                Ok(decoder) => {
                    if !with_probes {
                        needs.probes.clear();
                    }
                    let about = |warning: String| format!("collector `{}`: {warning}", collector.name);
                    warnings.extend(std::mem::take(&mut needs.warnings).into_iter().map(about));
                    collectors.push(Running { collector, named, needs, decoder });
                }
                Err(error) if named => return Err(error),
                Err(error) if automatic && error.kind() == ErrorKind::NotInUse => {}
                Err(error) => warnings.push(format!("collector `{}` is off: {error}", collector.name)),
            }
        }
        let filter_objects = filter::objects(&options.filters, options.tunnel_ports.is_some(), features.direct_reads)?;
        let mut specs = options.probes;
        specs.extend(
            collectors.iter().flat_map(|Running { needs, .. }| needs.probes.iter().chain(&needs.watched).cloned()),
        );
        let link_events = collectors.iter().any(|running| running.needs.tracking.is_some());
        // A USDT probe has no stack of the kernel's.
        specs.iter_mut().for_each(|spec| spec.stack |= options.stack && spec.probe_type != ProbeType::Usdt);
        let tracking = match collectors.iter().find_map(|running| running.needs.tracking.clone()) {
            Some(tracking) => tracking,
            // Packets are left out whole, so it must be known which is which.
            None if max_events_per_second.is_some() => tracking_programs(kernel)?,
            // A packet passes a filter from its first match on.
            None if !options.filters.is_empty() => tracking_programs(kernel).unwrap_or_else(|error| {
                warnings.push(format!("a packet is recorded only where it matches the filter: {error}"));
                Vec::new()
            }),
            None => Vec::new(),
        };
        let reads_paged_data = options.filters.iter().any(|filter| filter.packet.is_some())
            || collectors.iter().any(|running| running.needs.paged_data);
        let wants_symbols = reads_paged_data
            || collectors.iter().any(|running| running.needs.symbols)
            // Stacks are named when they come, but the kernel tells addresses only to those who are privileged.
            || specs.iter().any(|spec| spec.stack || spec.probe_type.is_function());

        let (probes, loaded, refused) = std::thread::scope(|scope| {
            // The largest single piece of work at start: it runs beside the others.
            let symbols = scope.spawn(|| wants_symbols.then(|| preflight::symbols_warning(kernel)).flatten());
            let mut resolution = resolve(kernel, &specs)?;
            warnings.extend(resolution.warnings);
            warnings.extend(preflight::leave_out_silent(kernel, features, &mut resolution.probes)?);
            warnings.extend(preflight::leave_out_usdt(features, &mut resolution.probes)?);
            if resolution.probes.is_empty() {
                return Err(Error::new(ErrorKind::KernelLacks, "none of the probes exists on this kernel"));
            }
            for probe in &mut resolution.probes {
                let mut programs = collectors.iter().flat_map(|running| &running.needs.programs);
                probe.own_program = programs.find(|program| program.is_at(probe)).map(|program| program.name);
            }
            let plan = Plan {
                features,
                dispatcher: options.dispatcher,
                collectors: &collectors,
                probes: &resolution.probes,
                filter: &options.filter,
                filters: &options.filters,
                filter_objects: &filter_objects,
                tunnel_ports: options.tunnel_ports.as_ref(),
                ring_size: options.ring_size,
                table_size: options.table_size,
                event_interval: max_events_per_second.map_or(0, |events| NS_PER_SECOND.div_ceil(events.max(1).into())),
                tracking: &tracking,
                link_events,
                may_grow: options.probe_stack,
            };
            let (loaded, refused) = load::load(&plan)?;
            warnings.extend(symbols.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            preflight::refuse_unknown_addresses(kernel, features, &resolution.probes)?;
            for probe in resolution.probes.iter().filter(|probe| probe.origin == Origin::Named) {
                preflight::refuse_impossible(kernel, probe)?;
            }
            Ok((resolution.probes, loaded, refused))
        })?;
        for RefusedHook { index, reason } in refused.into_iter().rev() {
            let Running { collector, named, .. } = collectors.remove(index);
            let off = format!("collector `{}` is off: this kernel refuses its hook: {reason}", collector.name);
            if named {
                return Err(Error::new(ErrorKind::KernelLacks, off));
            }
            warnings.push(off);
        }
        for (variable, symbol) in PAGE_SYMBOLS.into_iter().filter(|_| reads_paged_data) {
            let address = kernel.symbols().ok().and_then(|symbols| symbols.addresses(symbol).next());
            loaded.set_u64(variable, address.unwrap_or(0))?;
        }
        loaded.set_u64("average_events", (probes.len() as u64) * u64::from(wire::AVERAGE_ONE))?;
        let wanted = collectors.iter().flat_map(|running| running.programs(&probes));
        let silent: Vec<OwnProgram> = wanted.filter(|program| program.events.is_none()).copied().collect();
        let (attachments, table, missing) = attach::attach(kernel, &loaded, features, &tracking, &silent, &probes)?;
        warnings.extend(missing);
        if table.outcomes.iter().all(Result::is_err) {
            let reason = table.outcomes.iter().find_map(|outcome| outcome.as_ref().err());
            let what = "none of the probes could be attached";
            return Err(reason.map_or_else(|| Error::new(ErrorKind::KernelLacks, what), |reason| reason.about(what)));
        }
        let own_losses = collectors.iter().flat_map(|running| running.needs.losses.iter().copied()).collect();
        let counters = LossCounters::new(&loaded, &attachments, features, &probes, own_losses)?;
        let collectors_limits = collectors.iter().flat_map(|running| running.needs.limits.iter().copied());
        let limits = preflight::limits(kernel, features, &probes, collectors_limits);
        let growth = options.probe_stack.then(|| Growth::new(&probes));
        let processes = Processes::watch(kernel, &probes);
        Ok(Self {
            kernel,
            growth,
            processes,
            shows_packets: link_events,
            features,
            probes,
            collectors,
            table,
            warnings,
            limits,
            counters,
            max_events_per_second,
            attachments,
            loaded,
        })
    }

    /// The probes, attached or not.
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// What became of each probe.
    pub fn attach_table(&self) -> &AttachTable {
        &self.table
    }

    /// The programs that were loaded.
    pub fn programs(&self) -> Vec<ProgramReport> {
        self.loaded.programs()
    }

    /// What is not as asked for, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What this kernel can't do, and others can, of what the session asks for, in words.
    pub fn limits(&self) -> Option<&str> {
        self.limits.as_deref()
    }

    /// What the collectors have to tell.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.collectors.iter().flat_map(|running| &running.needs.notes).map(String::as_str)
    }

    /// How many events are recorded in a second at most.
    pub fn max_events_per_second(&self) -> Option<u32> {
        self.max_events_per_second
    }

    /// The collectors that run.
    pub fn collectors(&self) -> impl Iterator<Item = &'static Collector> {
        self.collectors.iter().map(|running| running.collector)
    }

    /// Collects. `control` is called once collection has begun and returns when it is to end.
    ///
    /// `limit`: write so many events at most; `ended` is called (from another thread) when they are written, or when writing
    /// has failed.
    ///
    /// # Errors
    /// When the ring or the counters can't be read. Failures of the sink are in the summary.
    pub fn run(
        &mut self,
        sink: &mut dyn Sink,
        limit: Option<u64>,
        ended: &(dyn Fn() + Sync),
        control: impl FnOnce(&mut Collection<'_>),
    ) -> Result<Summary, Error> {
        let ring = self.loaded.map("ring")?;
        let stopped = AtomicBool::new(false);
        let growth = self.growth.as_ref();
        let mut recorder = Recorder::new(self.kernel, &self.probes, growth, &mut self.collectors);
        let (sender, receiver) = reader::queue();
        let (kernel, features, shows_packets) = (self.kernel, self.features, self.shows_packets);
        let (loaded, counters, attachments) = (&self.loaded, &mut self.counters, &mut self.attachments);
        let processes = &mut self.processes;
        let (written, losses) = std::thread::scope(|scope| {
            // In here: when this returns early, the queue closes and the writer ends.
            let mut collection = Collection {
                kernel,
                loaded,
                features,
                counters,
                growth,
                processes,
                attachments,
                sender,
                reported: LossTable::new(),
                looked: Instant::now(),
            };
            let mover_sender = collection.sender.clone();
            let (ring, stopped) = (&ring, &stopped);
            let mover = scope.spawn(move || {
                reader::move_records(ring, stopped, &mover_sender, || drop_privileges(&[])).inspect_err(|_| ended())
            });
            let recorder = &mut recorder;
            let writer = scope.spawn(move || {
                drop_privileges(&[]).inspect_err(|_| ended())?;
                Ok(reader::write_events(recorder, sink, &receiver, limit, ended))
            });

            loaded.set_enabled(true)?;
            control(&mut collection);
            loaded.set_enabled(false)?;
            wait_for_programs();
            stopped.store(true, Ordering::SeqCst);
            mover.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let losses = collection.end(shows_packets)?;
            let written: Result<_, Error> = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let written = written?;
            Ok::<_, Error>((written, losses))
        })?;

        let mut losses = losses;
        // Who reads a pipe and has seen enough misses nothing.
        let unwanted = written.error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let unwritten = if unwanted { 0 } else { written.unwritten };
        for (cause, count) in [("parse", recorder.unreadable), ("writer", unwritten)] {
            if count > 0 {
                losses.insert(LossKey { cause, probe: None }, count);
            }
        }
        let remarks = recorder.remarks();
        Ok(Summary {
            events: written.events,
            events_by_probe: recorder.stored,
            losses,
            sampling: self.max_events_per_second.map(|limit| sampling(loaded, limit)).transpose()?,
            write_error: written.error,
            remarks,
            first_unreadable: recorder.first_error.map(|error| error.to_string()),
        })
    }

    /// Detaches all probes, which can take long when there are many.
    pub fn detach(self) {
        drop(self.attachments);
    }
}

fn sampling(loaded: &Loaded, max_events_per_second: u32) -> Result<Sampling, Error> {
    let counted = loaded.sampling()?;
    let share = |parts: u64| parts as f64 / wire::SAMPLING_ALL as f64;
    Ok(Sampling {
        max_events_per_second,
        packets: counted.packets,
        packets_left_out: counted.packets_left_out,
        share: share(counted.share),
        lowest_share: share(counted.lowest_share),
    })
}

/// Collection that is going on, for whoever decides when it ends.
pub struct Collection<'a> {
    kernel: &'a Kernel,
    loaded: &'a Loaded,
    features: Features,
    counters: &'a mut LossCounters,
    growth: Option<&'a Growth>,
    processes: &'a mut Processes,
    attachments: &'a mut Attachments,
    sender: SyncSender<Message>,
    /// What the file has been told of.
    reported: LossTable,
    looked: Instant,
}

impl Collection<'_> {
    /// The losses so far. Call it about once a second: what is new since then goes into the file.
    ///
    /// # Errors
    /// When the counters can't be read.
    pub fn losses(&mut self) -> Result<LossTable, Error> {
        let losses = self.counters.read(self.loaded)?;
        if self.looked.elapsed() >= LOSS_INTERVAL {
            self.looked = Instant::now();
            // When the queue is full it is told later: whoever waited here could not be told to end.
            if let Some(message) = self.news(&losses)
                && self.sender.try_send(message).is_ok()
            {
                self.reported.clone_from(&losses);
            }
        }
        Ok(losses)
    }

    /// Whether [`Collection::grow`] is to be called.
    pub fn may_grow(&self) -> bool {
        self.growth.is_some()
    }

    /// Adds functions with a packet that stood in stacks since the last time as probes, and returns what was attached to. Does nothing
    /// when the session was not opened with `probe_stack`.
    ///
    /// # Errors
    /// When the programs can't be told about them.
    pub fn grow(&mut self) -> Result<Vec<String>, Error> {
        let Some(growth) = self.growth else { return Ok(Vec::new()) };
        let added = growth::grow(self.kernel, self.loaded, self.features, growth, self.attachments)?;
        if !added.is_empty() {
            self.counters.add(growth.names(), self.attachments);
        }
        Ok(added)
    }

    /// What became of the processes whose USDT probes are looked at since it was last asked, in words. Call it about once a second.
    pub fn changed_processes(&mut self) -> Vec<String> {
        self.processes.changes()
    }

    /// Gives up, in the calling thread, all privileges but those `kept` and what [`Collection::losses`] and [`Collection::grow`]
    /// take. The threads of the session have none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn drop_privileges(&self, kept: &[Capability]) -> Result<(), Error> {
        let counting = self.counters.privileges()?.to_vec();
        let growing = self.growth.map_or_else(Vec::new, |_| privileges_needed(self.kernel));
        drop_privileges(&[kept, &counting, &growing].concat())
    }

    /// Tells the file the rest, behind which there is nothing more.
    fn end(self, shows_packets: bool) -> Result<LossTable, Error> {
        let losses = self.counters.read(self.loaded)?;
        let in_flight = if shows_packets { self.loaded.packets_in_flight()? } else { Vec::new() };
        let in_flight =
            (!in_flight.is_empty()).then(|| Message::About { timestamp: now(), news: News::InFlight(in_flight) });
        for message in self.news(&losses).into_iter().chain(in_flight) {
            // The writer is gone only when it could not begin, which is an error of its own.
            let _ = self.sender.send(message);
        }
        Ok(losses)
    }

    /// What was lost since it was last reported.
    fn news(&self, losses: &LossTable) -> Option<Message> {
        let new: Vec<Loss<'static>> = losses
            .iter()
            .filter_map(|(key, &count)| {
                let new = count - self.reported.get(key).copied().unwrap_or(0).min(count);
                (new > 0).then(|| Loss {
                    cause: Cow::Borrowed(key.cause),
                    probe: key.probe.clone().map(Cow::Owned),
                    count: new,
                })
            })
            .collect();
        (!new.is_empty()).then(|| Message::About { timestamp: now(), news: News::Losses(new) })
    }
}

/// Gives up all privileges of the calling thread, for threads that never need any.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all_privileges() -> Result<(), Error> {
    drop_privileges(&[])
}

/// CLOCK_MONOTONIC in ns, the clock of events.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and every kernel has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * NS_PER_SECOND + time.tv_nsec as u64
}

/// Returns when every program that was running has ended.
///
/// The kernel runs them inside RCU read sections, and this system call waits for all of those. It is refused where some
/// CPUs are reserved (nohz_full): a pause must do there, longer than any program takes.
fn wait_for_programs() {
    // SAFETY: the call takes no pointers.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) } == 0;
    if !waited {
        std::thread::sleep(Duration::from_millis(100));
    }
}
