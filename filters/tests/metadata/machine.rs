// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs filters in rbpf over the memory of a made-up kernel, `kernel.c`, as clang compiled it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use tempfile::TempDir;
use tracer_core::filter::{Program, STACK_LIMIT};
use tracer_core::kernel::Kernel;
use tracer_ebpf::wire::SKB_COPY_SIZE;
use tracer_filters::metadata::MetadataFilter;

/// Where the first section of `kernel.c` is; each further one is so much higher.
const BASE: u64 = 0xffff_8880_0000_0000;
const SECTION: u64 = 0x10_0000;

/// The process and thread that run, and the thread's name.
pub(crate) const PROCESS: u64 = 4321;
pub(crate) const THREAD: u64 = 4322;
pub(crate) const COMM: &[u8; 16] = b"ping\0\0\0\0\0\0\0\0\0\0\0\0";

const EFAULT: u64 = -14_i64 as u64;

/// Memory by address.
type Memory = BTreeMap<u64, Vec<u8>>;

thread_local! {
    /// What helpers read: they are plain functions.
    static MEMORY: RefCell<Memory> = const { RefCell::new(Memory::new()) };
}

/// The made-up kernel.
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    memory: Memory,
    symbols: BTreeMap<String, u64>,
    _root: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder can be made");
        let object = compile(root.path());
        let file = object::File::parse(&*object).expect("clang writes ELF");
        let btf = root.path().join("sys/kernel/btf");
        fs::create_dir_all(&btf).expect("the fake tree can be made");
        let types = file.section_by_name(".BTF").expect("clang describes the types");
        let types = types.data().expect("the section has bytes");
        fs::write(btf.join("vmlinux"), types).expect("the fake tree can be made");
        fs::write(btf.join("secrets"), module_types(types)).expect("the fake tree can be made");

        let base = |section: usize| BASE + section as u64 * SECTION;
        let mut memory = Memory::new();
        for section in file.sections().filter(|section| matches!(section.name(), Ok(name) if is_memory(name))) {
            let mut bytes = section.uncompressed_data().expect("the section has bytes").into_owned();
            bytes.resize(section.size() as usize, 0);
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(symbol) = relocation.target() else { panic!("an odd relocation") };
                let symbol = file.symbol_by_index(symbol).expect("the symbol exists");
                let target = base(symbol.section_index().expect("it is defined here").0) + symbol.address();
                let at = offset as usize;
                let addend = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
                bytes[at..at + 8].copy_from_slice(&(target + addend).to_le_bytes());
            }
            memory.insert(base(section.index().0), bytes);
        }
        let symbols = file.symbols().filter_map(|symbol| {
            Some((symbol.name().ok()?.to_owned(), base(symbol.section_index()?.0) + symbol.address()))
        });
        let symbols = symbols.collect();
        Self { kernel: Kernel::new(root.path()), memory, symbols, _root: root }
    }

    /// The address of a variable.
    pub(crate) fn address(&self, name: &str) -> u64 {
        self.symbols[name]
    }

    /// Overwrites memory.
    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) {
        let (base, region) = self.memory.range_mut(..=address).next_back().expect("it is mapped");
        let at = (address - base) as usize;
        region[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether the packet in variable `packet` matches; "" is none.
    pub(crate) fn matches(&self, text: &str, packet: &str) -> bool {
        let filter = MetadataFilter::compile(text, &self.kernel).unwrap_or_else(|error| panic!("{error}"));
        let packet = (!packet.is_empty()).then(|| self.address(packet));
        self.run(filter.program(), packet)
    }

    /// Runs a program for the packet at an address.
    pub(crate) fn run(&self, program: &Program, packet: Option<u64>) -> bool {
        check_stack(program);
        assert!(program.loads.is_empty(), "metadata filters call no `load`");
        // Without a packet the copy is of an earlier one.
        let mut copy = vec![0; SKB_COPY_SIZE as usize];
        let copied = packet.unwrap_or_else(|| self.address("packet"));
        assert!(read(&self.memory, copied, &mut copy), "the packet is mapped");
        MEMORY.set(self.memory.clone());
        // R2 is the packet's address; rbpf sets R1 only.
        let prologue = wide(2, packet.unwrap_or(0));
        let code: Vec<u8> = prologue.iter().chain(&program.instructions).flat_map(|word| word.to_le_bytes()).collect();
        let mut machine = rbpf::EbpfVmRaw::new(Some(&code)).expect("the program is valid");
        let helpers: [(u32, rbpf::ebpf::Helper); 4] =
            [(14, current_process), (16, current_name), (113, read_kernel), (115, read_kernel_text)];
        for (number, helper) in helpers {
            machine.register_helper(number, helper).expect("helpers can be registered");
        }
        match machine.execute_program(&mut copy) {
            Ok(0) => false,
            Ok(1) => true,
            other => panic!("the program returned {other:?}"),
        }
    }
}

fn compile(folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metadata/kernel.c");
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| OsString::from("clang"));
    let object = folder.join("kernel.o");
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-O2", "-g", "-Wall", "-Werror", "-c"]).arg(source).arg("-o").arg(&object);
    let status = command.status().expect("clang can be run");
    assert!(status.success(), "clang refuses kernel.c");
    fs::read(&object).expect("clang wrote the object")
}

/// The types of a module on top of `vmlinux`: `struct secret { unsigned int id; int value; }`.
fn module_types(vmlinux: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(vmlinux[at..at + 4].try_into().expect("four bytes"));
    let header = word(4);
    let (mut at, end) = (header + word(8), header + word(8) + word(12));
    let (strings, mut next) = (word(20), 1);
    while at < end {
        let info = word(at as usize + 4);
        let members = info & 0xffff;
        at += 12
            + match info >> 24 & 0x1f {
                // Numbers, variables, tags; arrays; structs, unions, sections; enumerations, function types.
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                _ => 0,
            };
        next += 1;
    }
    let names = b"secret\0id\0value\0unsigned int\0int\0";
    let name = |name: &str| {
        strings + names.windows(name.len()).position(|at| at == name.as_bytes()).expect("it is there") as u32
    };
    let mut types: Vec<u32> = Vec::new();
    types.extend([name("unsigned int"), 1 << 24, 4, 32]);
    types.extend([name("int\0"), 1 << 24, 4, 1 << 24 | 32]);
    types.extend([name("secret"), 4 << 24 | 2, 8, name("id"), next, 0, name("value"), next + 1, 32]);
    let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
    let lengths = [24, 0, types.len() as u32, types.len() as u32, names.len() as u32];
    let mut module = vec![0x9f, 0xeb, 1, 0];
    module.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
    module.extend(types);
    module.extend(names);
    module
}

fn is_memory(section: &str) -> bool {
    [".data", ".bss", ".rodata"].iter().any(|prefix| section.starts_with(prefix))
}

/// `lddw`
fn wide(register: u64, value: u64) -> [u64; 2] {
    [0x18 | register << 8 | value << 32, value >> 32 << 32]
}

/// That no instruction uses more of the stack than a filter may.
fn check_stack(program: &Program) {
    for instruction in &program.instructions {
        let (opcode, registers) = (instruction & 0xff, instruction >> 8 & 0xff);
        let (offset, constant) = ((instruction >> 16) as i16, (instruction >> 32) as i32);
        // Additions that make an address on the stack, and loads and stores that use one.
        let is_address = opcode == 0x07 && constant < 0;
        let is_load = opcode & 7 == 1 && registers >> 4 == 10;
        let is_store = matches!(opcode & 7, 2 | 3) && registers & 0xf == 10;
        assert!(!is_address || constant >= i32::from(-STACK_LIMIT), "{instruction:#x}");
        assert!(!(is_load || is_store) || (-STACK_LIMIT..0).contains(&offset), "{instruction:#x}");
    }
}

/// Copies memory, if all of it is mapped; what is behind the end of a section is 0.
fn read(memory: &Memory, address: u64, to: &mut [u8]) -> bool {
    let Some((base, bytes)) = memory.range(..=address).next_back().filter(|(base, _)| address - *base < SECTION) else {
        return false;
    };
    let at = (address - base) as usize;
    for (index, byte) in to.iter_mut().enumerate() {
        *byte = bytes.get(at + index).copied().unwrap_or(0);
    }
    at < bytes.len()
}

fn write_to_program(address: u64, bytes: &[u8]) {
    // SAFETY: rbpf passes the address that the program computed, which is on the stack of the machine (`check_stack`).
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) }
}

fn read_kernel(to: u64, size: u64, from: u64, _: u64, _: u64) -> u64 {
    let mut bytes = vec![0; size as usize];
    let is_mapped = MEMORY.with_borrow(|memory| read(memory, from, &mut bytes));
    // As the kernel does, what can't be read is cleared.
    write_to_program(to, &bytes);
    if is_mapped { 0 } else { EFAULT }
}

fn read_kernel_text(to: u64, size: u64, from: u64, _: u64, _: u64) -> u64 {
    let mut bytes = vec![0; size as usize];
    if !MEMORY.with_borrow(|memory| read(memory, from, &mut bytes)) {
        return EFAULT;
    }
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len() - 1);
    bytes.truncate(length);
    bytes.push(0);
    write_to_program(to, &bytes);
    bytes.len() as u64
}

fn current_process(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    PROCESS << 32 | THREAD
}

fn current_name(to: u64, size: u64, _: u64, _: u64, _: u64) -> u64 {
    write_to_program(to, &COMM[..size as usize]);
    0
}
