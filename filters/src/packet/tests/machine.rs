// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs packet filters as the kernel does.

use std::mem::offset_of;
use std::slice;

use rbpf::EbpfVmRaw;
use tracer_core::filter::{OUT_OF_RANGE, Program};
use tracer_ebpf::wire::{FILTER_WINDOW, packet_view};

/// Stands for the function `load` in rbpf, which knows helpers only.
const LOAD_HELPER: u32 = 1;
/// `BPF_JMP | BPF_CALL`
const CALL_HELPER: u64 = 0x85;

/// A filter in a form that rbpf can run.
pub(super) struct Code(Vec<u8>);

impl Code {
    pub(super) fn new(program: &Program) -> Self {
        let mut instructions = program.instructions.clone();
        for &load in &program.loads {
            assert_eq!(instructions[load], 0xffff_ffff_0000_1085, "a call of a function");
            instructions[load] = CALL_HELPER | u64::from(LOAD_HELPER) << 32;
        }
        Self(instructions.iter().flat_map(|instruction| instruction.to_le_bytes()).collect())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A filter that can be run. rbpf checks each access to memory.
pub(super) struct Machine<'a>(EbpfVmRaw<'a>);

impl<'a> Machine<'a> {
    pub(super) fn new(code: &'a Code) -> Self {
        let mut machine = EbpfVmRaw::new(Some(code.bytes())).expect("rbpf takes the program");
        machine.register_helper(LOAD_HELPER, load).expect("rbpf takes the helper");
        Self(machine)
    }

    /// Runs the filter on a packet of `wire_length` bytes that begins with `packet`.
    pub(super) fn run(&self, packet: &[u8], wire_length: u32) -> bool {
        let mut view = view(packet, wire_length);
        let machine: &EbpfVmRaw<'_> = &self.0;
        machine.execute_program(&mut view).expect("the program stays in its memory") != 0
    }
}

/// The bytes of a `struct packet_view`. What is in the window behind the packet is not 0: it must not be looked at.
fn view(packet: &[u8], wire_length: u32) -> Vec<u8> {
    let mut view = vec![0xa5; size_of::<packet_view>()];
    let mut write = |offset: usize, bytes: &[u8]| view[offset..offset + bytes.len()].copy_from_slice(bytes);
    let length = packet.len() as u32;
    let window = &packet[..packet.len().min(FILTER_WINDOW as usize)];
    write(offset_of!(packet_view, start), &(packet.as_ptr() as u64).to_ne_bytes());
    write(offset_of!(packet_view, length), &length.to_ne_bytes());
    write(offset_of!(packet_view, wire_length), &wire_length.to_ne_bytes());
    write(offset_of!(packet_view, window_length), &(window.len() as u32).to_ne_bytes());
    write(offset_of!(packet_view, window), window);
    view
}

/// The function `load`, in its contract's words. Here `start` is where the packet is in this process.
fn load(view: u64, offset: u64, size: u64, _: u64, _: u64) -> u64 {
    // SAFETY: rbpf passes on what the program has in R1, which its own checks of memory do not cover; a translator that
    // puts anything but the view there makes this test crash. The view is a packet_view as far as it is read here,
    // unaligned, and lives as long as the program runs.
    let (start, length) = unsafe {
        let view = view as *const u8;
        let start = view.add(offset_of!(packet_view, start)).cast::<u64>().read_unaligned();
        let length = view.add(offset_of!(packet_view, length)).cast::<u32>().read_unaligned();
        (start as *const u8, length as usize)
    };
    // SAFETY: the packet outlives the run.
    let packet = unsafe { slice::from_raw_parts(start, length) };
    assert!(matches!(size, 1 | 2 | 4), "{size} bytes");
    let bytes = usize::try_from(offset).ok().and_then(|offset| packet.get(offset..)?.get(..size as usize));
    bytes.map_or(OUT_OF_RANGE, |bytes| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}
