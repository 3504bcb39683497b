// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attaching. Nothing here is all-or-nothing: each probe ends in the [`AttachTable`] with how it was attached or why not.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use libbpf_rs::{AsRawLibbpf as _, Link, MapCore as _, MapFlags, Object, ProgramMut, UsdtOpts};

use tracer_ebpf::wire;

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::features::{Features, attach_multi, attach_tracepoint, load_program};
use crate::kernel::privileges;
use crate::probe::{AttachError, Origin, Probe, ProbeType, explain};

use super::kprobe::{KprobeSource, allow_open_files, close_all};
use super::load::{Loaded, c_name, tracepoint_program};
use super::messages;

/// How a probe was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Together with others, by kprobe.multi.
    KprobeMulti,
    /// Entry and return together with others, by kprobe.session.
    KprobeSession,
    /// By a kprobe (and kretprobe) of its own.
    Kprobe,
    /// By a raw tracepoint.
    RawTracepoint,
    /// By uprobes, at all places in a file where it is.
    Usdt,
}

impl Means {
    /// The kernel's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KprobeMulti => "kprobe.multi",
            Self::KprobeSession => "kprobe.session",
            Self::Kprobe => "kprobe",
            Self::RawTracepoint => "raw_tracepoint",
            Self::Usdt => "usdt",
        }
    }
}

/// What became of each probe, in the order of the probes.
#[derive(Debug, Default)]
pub struct AttachTable {
    /// How, or why not.
    pub outcomes: Vec<Result<Means, AttachError>>,
}

/// What libbpf calls all processes, those to come too.
const ALL_PROCESSES: i32 = -1;

/// What keeps the probes attached; dropping it detaches them all.
#[derive(Default)]
pub(super) struct Attachments {
    /// Each with the probe or group of probes that it attaches.
    fds: Vec<(String, OwnedFd)>,
    /// Copies of raw tracepoint programs.
    programs: Vec<OwnedFd>,
    /// One for each file, or for each process. libbpf keeps more of them than descriptors.
    usdt: Vec<Link>,
}

impl Attachments {
    /// The descriptor of each attachment, and the probe or group of probes that it attaches.
    pub(super) fn link_fds(&self) -> impl Iterator<Item = (&str, i32)> {
        self.fds.iter().map(|(probe, fd)| (probe.as_str(), fd.as_raw_fd()))
    }

    /// Copies of programs that were loaded beside the object.
    pub(super) fn program_fds(&self) -> impl Iterator<Item = i32> {
        self.programs.iter().map(|fd| fd.as_raw_fd())
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        close_all(self.fds.drain(..).map(|(_, fd)| fd).collect());
    }
}

/// Attaches the programs of tracking, then all probes. Collection is still off. What is missing without being an error is told in words.
///
/// # Errors
/// When tracking can't be attached, or when a probe that the user named can't.
pub(super) fn attach(
    kernel: &Kernel,
    loaded: &Loaded,
    features: Features,
    tracking: &[&str],
    probes: &[Probe],
) -> Result<(Attachments, AttachTable, Vec<String>), Error> {
    let mut attacher = Attacher {
        kernel,
        loaded,
        features,
        probes,
        first: 0,
        attachments: Attachments::default(),
        outcomes: vec![None; probes.len()],
        warnings: Vec::new(),
    };
    attacher.tracking(tracking)?;
    attacher.functions(ProbeType::Kprobe)?;
    attacher.functions(ProbeType::Kretprobe)?;
    attacher.tracepoints()?;
    attacher.usdt()?;
    let not_tried = || Err(AttachError::Other("it was not tried".to_owned()));
    let outcomes: Vec<_> = attacher.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(not_tried)).collect();
    for (probe, outcome) in probes.iter().zip(&outcomes) {
        if let (Origin::Named, Err(error)) = (&probe.origin, outcome) {
            return Err(error.about_probe(probe));
        }
    }
    Ok((attacher.attachments, AttachTable { outcomes }, attacher.warnings))
}

/// Attaches entries of functions while collection goes on; their indices begin at `first`. Tells of each whether it could be attached.
///
/// # Errors
/// When there is a defect of ours.
pub(super) fn attach_added(
    kernel: &Kernel,
    loaded: &Loaded,
    features: Features,
    probes: &[Probe],
    first: usize,
    attachments: &mut Attachments,
) -> Result<Vec<bool>, Error> {
    let mut attacher = Attacher {
        kernel,
        loaded,
        features,
        probes,
        first,
        attachments: std::mem::take(attachments),
        outcomes: vec![None; probes.len()],
        warnings: Vec::new(),
    };
    let attached = attacher.functions(ProbeType::Kprobe);
    *attachments = attacher.attachments;
    attached?;
    Ok(attacher.outcomes.iter().map(|outcome| matches!(outcome, Some(Ok(_)))).collect())
}

struct Attacher<'a> {
    kernel: &'a Kernel,
    loaded: &'a Loaded,
    features: Features,
    probes: &'a [Probe],
    /// The index of the first one.
    first: usize,
    attachments: Attachments,
    outcomes: Vec<Option<Result<Means, AttachError>>>,
    warnings: Vec<String>,
}

impl<'a> Attacher<'a> {
    fn program(&self, name: &str) -> Result<ProgramMut<'a>, Error> {
        self.loaded
            .object
            .progs_mut()
            .find(|program| program.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::Failure, format!("there is no eBPF program `{name}`")))
    }

    /// Without the programs that find links, packets are what they are; without one of the others they are not.
    fn tracking(&mut self, tracking: &[&str]) -> Result<(), Error> {
        for name in tracking {
            match self.trace(name) {
                Ok(fd) => self.attachments.fds.push(((*name).to_owned(), fd)),
                Err(error) if name.starts_with("link_") => {
                    self.warnings.push(format!("some packets that come out of others are not linked to them: {error}"));
                }
                Err(error) => {
                    return Err(Error::new(ErrorKind::KernelLacks, format!("packets can't be tracked: {error}")));
                }
            }
        }
        Ok(())
    }

    fn trace(&self, name: &str) -> Result<OwnedFd, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::KernelLacks, format!("`{name}` can't be attached: {error}"))
        };
        let link = self.program(name)?.attach_trace().map_err(|error| failed(&format_args!("{error:#}")))?;
        // A descriptor of our own: libbpf's link can't be given to a thread.
        link.as_fd().try_clone_to_owned().map_err(|error| failed(&error))
    }

    fn functions(&mut self, probe_type: ProbeType) -> Result<(), Error> {
        let mut wanted: Vec<usize> =
            (0..self.probes.len()).filter(|&index| self.probes[index].probe_type == probe_type).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let together = match probe_type {
            ProbeType::Kretprobe => self.features.kprobe_session,
            _ => self.features.kprobe_multi,
        };
        // Where many are attached in one call, a missing one refuses them all. Of several functions of one name, kernels take one
        // without a word or refuse them, depending on their age.
        if let Ok(symbols) = self.kernel.symbols() {
            wanted.retain(|&index| match symbols.functions(&self.probes[index].target).count() {
                1 => true,
                _ => {
                    self.outcomes[index] = Some(Err(self.explain(index, None)));
                    false
                }
            });
        }
        if together {
            let (program, attach_type, means) = match probe_type {
                ProbeType::Kretprobe => {
                    ("kretprobe_session", libbpf_sys::BPF_TRACE_KPROBE_SESSION, Means::KprobeSession)
                }
                _ => ("kprobe_multi", libbpf_sys::BPF_TRACE_KPROBE_MULTI, Means::KprobeMulti),
            };
            let program = self.program(program)?;
            self.batch(&program, attach_type, means, &wanted);
            return Ok(());
        }
        if !self.features.cookies {
            self.register_addresses(&wanted)?;
        }
        self.singles(probe_type, wanted)
    }

    /// Attaches many functions in one call. When the kernel refuses, halves are tried, until those it objects to stand alone.
    fn batch(&mut self, program: &ProgramMut<'_>, attach_type: u32, means: Means, indices: &[usize]) {
        if indices.is_empty() {
            return;
        }
        let names: Vec<CString> = indices.iter().map(|&index| c_name(&self.probes[index].target)).collect();
        let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
        let cookies: Vec<u64> = indices.iter().map(|&index| (self.first + index) as u64).collect();
        match attach_multi(program, attach_type, &names, &cookies) {
            Ok(fd) => {
                self.attachments.fds.push((means.name().to_owned(), fd));
                for &index in indices {
                    self.outcomes[index] = Some(Ok(means));
                }
            }
            Err(error) => {
                if let [index] = *indices {
                    self.outcomes[index] = Some(Err(self.explain(index, Some(&error))));
                    return;
                }
                let (left, right) = indices.split_at(indices.len() / 2);
                self.batch(program, attach_type, means, left);
                self.batch(program, attach_type, means, right);
            }
        }
    }

    /// Attaches functions one by one.
    fn singles(&mut self, probe_type: ProbeType, indices: Vec<usize>) -> Result<(), Error> {
        let parts: &[(&str, bool)] = match probe_type {
            ProbeType::Kretprobe => &[("kretprobe_entry", false), ("kretprobe_single", true)],
            _ => &[("kprobe_single", false)],
        };
        let programs = parts.iter().map(|&(name, is_return)| Ok((self.program(name)?, is_return)));
        let programs = programs.collect::<Result<Vec<_>, Error>>()?;
        let source = KprobeSource::find(self.kernel)?;
        allow_open_files(self.attachments.fds.len() + indices.len() * parts.len())?;
        for index in indices {
            let probe = &self.probes[index];
            let function = c_name(&probe.target);
            // Those that have several were sorted out before. Hidden addresses read as zero.
            let address = self.kernel.symbols().ok().and_then(|symbols| symbols.functions(&probe.target).next());
            let address = address.filter(|address| *address != 0);
            let cookie = self.features.cookies.then_some((self.first + index) as u64);
            let attach = |(program, is_return): &(ProgramMut<'_>, bool)| {
                Ok((probe.to_string(), source.attach(program.as_fd(), &function, address, *is_return, cookie)?))
            };
            let attached = programs.iter().map(attach).collect::<io::Result<Vec<_>>>();
            self.outcomes[index] = Some(match attached {
                Ok(attached) => {
                    self.attachments.fds.extend(attached);
                    Ok(Means::Kprobe)
                }
                Err(error) => Err(self.explain(index, Some(&error))),
            });
        }
        Ok(())
    }

    /// Tells the programs which probe is at which address.
    fn register_addresses(&self, indices: &[usize]) -> Result<(), Error> {
        let symbols = self.kernel.symbols()?;
        let map = self.loaded.map("probes_by_address")?;
        for &index in indices {
            let return_bit =
                if self.probes[index].probe_type == ProbeType::Kretprobe { wire::RETURN_ADDRESS_BIT as u64 } else { 0 };
            for address in symbols.functions(&self.probes[index].target) {
                let address = address & !return_bit;
                map.update(&address.to_ne_bytes(), &((self.first + index) as u64).to_ne_bytes(), MapFlags::ANY)
                    .map_err(|error| {
                        Error::new(
                            ErrorKind::Failure,
                            format!("the address of `{}` can't be entered: {error}", self.probes[index]),
                        )
                    })?;
            }
        }
        Ok(())
    }

    fn explain(&self, index: usize, error: Option<&io::Error>) -> AttachError {
        explain(self.kernel, &self.probes[index].target, error)
    }

    fn tracepoints(&mut self) -> Result<(), Error> {
        for index in 0..self.probes.len() {
            let probe = &self.probes[index];
            if probe.probe_type != ProbeType::RawTracepoint {
                continue;
            }
            let program = self.program(&tracepoint_program(probe))?;
            let name = c_name(probe.symbol());
            let attached = if self.features.tracepoint_cookies {
                attach_tracepoint(&program, &name, index as u64)
            } else {
                copy_with_index(&self.loaded.object, &program, index as u64).and_then(|copy| {
                    let fd = attach_tracepoint(&copy, &name, 0)?;
                    self.attachments.programs.push(copy);
                    Ok(fd)
                })
            };
            self.outcomes[index] = Some(match attached {
                Ok(fd) => {
                    self.attachments.fds.push((probe.to_string(), fd));
                    Ok(Means::RawTracepoint)
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Err(AttachError::NoTracepoint(Vec::new())),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
                    Err(AttachError::NotPermitted(privileges::enough(self.kernel)))
                }
                Err(error) => Err(AttachError::Other(error.to_string())),
            });
        }
        Ok(())
    }
}

impl Attacher<'_> {
    fn usdt(&mut self) -> Result<(), Error> {
        for (index, probe) in self.probes.iter().enumerate() {
            let Some(place) = &probe.user else { continue };
            let program = self.program("usdt_probe")?;
            let (provider, name) = probe.symbol().split_once(':').unwrap_or_default();
            // A library is everybody's: there, only the processes that were asked for are looked at.
            let processes = if place.is_program { &[ALL_PROCESSES][..] } else { &place.processes };
            let mut outcome = Err(AttachError::NoProcess(Vec::new()));
            for &process in processes {
                let cookie = UsdtOpts { cookie: index as u64, ..Default::default() };
                match program.attach_usdt_with_opts(process, place.file.path(), provider, name, cookie) {
                    Ok(link) => {
                        self.attachments.usdt.push(link);
                        outcome = Ok(Means::Usdt);
                    }
                    // One of several may have ended.
                    Err(_) if outcome.is_ok() => {}
                    Err(error) => outcome = Err(self.explain_usdt(&error)),
                }
            }
            self.outcomes[index] = Some(outcome);
        }
        Ok(())
    }

    fn explain_usdt(&self, error: &libbpf_rs::Error) -> AttachError {
        if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
            return AttachError::NotPermitted(privileges::enough(self.kernel));
        }
        // Its first line is about what libbpf was told, which the user did not.
        let said = messages::take();
        let reason =
            said.lines().last().map(|line| format!(": {}", line.trim_start_matches("libbpf: "))).unwrap_or_default();
        AttachError::Other(format!("{error:#}{reason}"))
    }
}

/// Loads a copy of a raw tracepoint program that knows its own index, for kernels that give such programs no cookies.
fn copy_with_index(object: &Object, program: &ProgramMut<'_>, index: u64) -> io::Result<OwnedFd> {
    let mut instructions = program.insns().to_vec();
    // A 64-bit constant takes two instructions, with its halves in their immediate fields.
    let halves = |value: u64| (value as u32 as i32, (value >> 32) as i32);
    let mut marked = 0;
    for at in 0..instructions.len().saturating_sub(1) {
        let wide = instructions[at].code == (libbpf_sys::BPF_LD | libbpf_sys::BPF_IMM | libbpf_sys::BPF_DW) as u8;
        if wide && (instructions[at].imm, instructions[at + 1].imm) == halves(wire::INDEX_MARK) {
            (instructions[at].imm, instructions[at + 1].imm) = halves(index);
            marked += 1;
        }
    }
    if marked == 0 {
        return Err(io::Error::other("the program has no place for its index"));
    }
    let raw = program.as_libbpf_object().as_ptr();
    // SAFETY: the object and its program are alive. libbpf keeps the records as long as those, and says how many there are.
    let (btf, functions) = unsafe {
        let count = libbpf_sys::bpf_program__func_info_cnt(raw) as usize;
        let first = libbpf_sys::bpf_program__func_info(raw);
        let functions = if first.is_null() { &[][..] } else { std::slice::from_raw_parts(first, count) };
        (libbpf_sys::bpf_object__btf_fd(object.as_libbpf_object().as_ptr()), functions)
    };
    // SAFETY: the descriptor was checked; it belongs to the object.
    let types = (btf >= 0 && !functions.is_empty()).then(|| (unsafe { BorrowedFd::borrow_raw(btf) }, functions));
    load_program(libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT, 0, c"raw_tracepoint", &instructions, types)
}
