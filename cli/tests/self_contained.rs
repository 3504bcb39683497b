// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program runs on machines that have nothing but a C library.

use std::fs;

use object::elf::FileHeader64;
use object::read::elf::{Dyn as _, FileHeader as _};
use object::{Endianness, elf};

#[test]
fn needs_no_libraries_but_those_of_c() {
    let data = fs::read(env!("CARGO_BIN_EXE_tracer")).unwrap();
    let header = FileHeader64::<Endianness>::parse(&*data).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, &*data).unwrap();
    let (entries, strings) = sections.dynamic(endian, &*data).unwrap().expect("it is linked with the C library");
    let strings = sections.strings(endian, &*data, strings).unwrap();
    for entry in entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
        let name = entry.string(endian, strings).map(String::from_utf8_lossy).unwrap();
        let is_known = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux"].iter().any(|known| name.starts_with(known));
        assert!(is_known, "the program needs {name}");
    }
}
