// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filters: each text, and any program of classic BPF, becomes one that the kernel takes; what is too large is said to be.
//!
//! Cost: 1,400 programs, 45 s, most of them in libpcap; one session that is refused, 10 s.

#[path = "../../../../filters/tests/classic/programs.rs"]
mod programs;

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use tracer_core::error::{Error, ErrorKind};
use tracer_core::filter::{Filter, FilterText, PacketPrograms, Program};
use tracer_core::kernel::Kernel;
use tracer_core::session::{Options, Session};
use tracer_filters::packet::{PacketFilter, translate_classic};
use tracer_tests::{Verdict, Verifier, note};

use super::{matches, options, runnable};

const TEXTS: &str = include_str!("../../../../filters/tests/texts.txt");

/// What verifying has cost.
#[derive(Default)]
struct Cost {
    programs: usize,
    refused: String,
    most: u32,
    costliest: String,
    longest: usize,
}

impl Cost {
    fn add(&mut self, verifier: &Verifier, what: &str, program: &Program) -> Result<()> {
        self.programs += 1;
        self.longest = self.longest.max(program.instructions.len());
        match verifier.verify(program).with_context(|| what.to_owned())? {
            Verdict::Accepted(verified) if verified >= self.most => {
                (self.most, self.costliest) = (verified, what.to_owned());
            }
            Verdict::Accepted(_) => {}
            Verdict::Refused(reason) => writeln!(self.refused, "{what}: {reason}")?,
        }
        Ok(())
    }

    fn report(&self, what: &str, start: Instant) {
        note(format_args!(
            "{} {what}: {:.1?}, longest {}, most instructions verified {}: {:.100}",
            self.programs,
            start.elapsed(),
            self.longest,
            self.most,
            self.costliest
        ));
        assert!(self.refused.is_empty(), "{}", self.refused);
    }
}

#[test]
fn takes_every_text_as_a_program() -> Result<()> {
    let (verifier, start) = (Verifier::for_packet_filters()?, Instant::now());
    let mut cost = Cost::default();
    let mut texts = 0;
    for text in TEXTS.lines() {
        texts += 1;
        let filter = PacketFilter::compile(text)?;
        cost.add(&verifier, text, filter.ethernet())?;
        if let Some(raw) = filter.raw() {
            cost.add(&verifier, &format!("{text} (without Ethernet)"), raw)?;
        }
    }
    assert!(texts >= 300, "{texts} texts");
    cost.report("packet filters", start);
    Ok(())
}

#[test]
fn takes_every_program_of_classic_bpf() -> Result<()> {
    let (verifier, start) = (Verifier::for_packet_filters()?, Instant::now());
    // The same programs in every run.
    let mut runner = TestRunner::deterministic();
    let mut cost = Cost::default();
    for number in 0..400 {
        let classic =
            programs::programs().new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("{reason}"))?.current();
        let program = translate_classic(&classic).with_context(|| format!("program {number}: {classic:?}"))?;
        cost.add(&verifier, &format!("program {number}: {classic:?}"), &program)?;
    }
    cost.report("random programs", start);
    Ok(())
}

/// A program that compares a number in the packet with so many constants.
fn list(comparisons: u32) -> Vec<programs::Instruction> {
    // ld [26]
    let mut program = vec![(0x20, 0, 0, 26)];
    for number in 0..comparisons {
        // jeq #number: ja to the end
        program.push((0x15, 0, 1, number));
        program.push((0x05, 0, 0, 2 * (comparisons - number) - 1));
    }
    // ret #0, ret #1
    program.extend([(0x06, 0, 0, 0), (0x06, 0, 0, 1)]);
    program
}

#[test]
fn takes_lists_as_long_as_jumps_reach() -> Result<()> {
    let verifier = Verifier::for_packet_filters()?;
    let (mut accepted, mut refused, mut instructions) = (1_u32, None, 0);
    loop {
        let next = refused.map_or(accepted * 2, |refused| accepted.midpoint(refused));
        if next == accepted {
            break;
        }
        match translate_classic(&list(next)) {
            Ok(program) => {
                let verdict = verifier.verify(&program)?;
                assert!(matches!(verdict, Verdict::Accepted(_)), "{next} comparisons: {verdict:?}");
                (accepted, instructions) = (next, program.instructions.len());
            }
            Err(error) => {
                assert!(error.problem().contains("32767 at most"), "{error}");
                assert_eq!(Error::from(error).kind(), ErrorKind::BadFilter);
                refused = Some(next);
            }
        }
    }
    note(format_args!("the largest list: {accepted} comparisons, {instructions} instructions"));
    assert!(instructions > 32_000);
    Ok(())
}

#[test]
fn a_filter_that_the_verifier_refuses_is_named() -> Result<()> {
    const BRANCHES: u64 = 9000;
    // if r2 == number goto the end: more ways than the verifier remembers.
    let branch = |number: u64| 0x15 | 2 << 8 | (BRANCHES - 1 - number) << 16 | number << 32;
    // r2 = *(u32 *)(r1 + 0), of which nothing is known
    let mut instructions: Vec<u64> =
        std::iter::once(0x61 | 2 << 8 | 1 << 12).chain((0..BRANCHES).map(branch)).collect();
    // r0 = 0, and exit
    instructions.extend([0xb7, 0x95]);
    let filter = |packet: &str, ethernet: Program| Filter {
        text: FilterText { packet: Some(packet.to_owned()), metadata: None },
        packet: Some(PacketPrograms { ethernet, raw: None, sees_vlan_tags: false }),
        metadata: None,
    };
    let good = filter("icmp", PacketFilter::compile("icmp")?.ethernet().clone());
    let bad = filter("the bad one", Program { instructions, loads: Vec::new() });

    let kernel = Kernel::new("/");
    let collectors = runnable(&kernel)?;
    let arguments = matches(&collectors, &[])?;
    let options = options(&collectors, &arguments, &["k:ip_rcv"])?;
    let filters = vec![good, bad.clone()];
    let options = Options { filter: bad.text, filters, ..options };
    let Err(error) = Session::open(&kernel, options) else { bail!("it was loaded") };
    note(format_args!("{error}\n  hint: {}", error.hint().unwrap_or_default()));
    assert_eq!(error.kind(), ErrorKind::BadFilter);
    let message = error.to_string();
    assert!(
        message.starts_with("the kernel refuses the packet filter `the bad one`, 9003 instructions long: "),
        "{message}"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("8192")), "{:?}", error.hint());
    Ok(())
}
