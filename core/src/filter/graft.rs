// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts a generated program in place of a function's body in a compiled object.

use std::fmt::Display;

use object::Endianness;
use object::build::elf::{Builder, SectionData, SectionId};
use object::elf::{SHT_REL, SHT_STRTAB};

use super::Program;
use crate::error::{Error, ErrorKind};

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;

/// Replaces the body of `function`, which must be the last one of the section `.text`; the function `load`, which the program
/// may call, stands in the same section.
///
/// # Errors
/// When the object is not as it should be: that is a defect of the build.
pub(super) fn graft(object: &[u8], function: &str, program: &Program) -> Result<Vec<u8>, Error> {
    let defect = |what: &dyn Display| {
        Error::new(
            ErrorKind::Failure,
            format!("the object for the filter function `{function}` is not as expected: {what}"),
        )
    };
    let mut builder = Builder::read64(object).map_err(|error| defect(&error))?;
    if builder.endian != if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little } {
        return Err(defect(&"it is of another byte order"));
    }
    let text = section_named(&builder, ".text").ok_or_else(|| defect(&"no section `.text`"))?;
    let place = |name: &str| {
        let symbol = builder.symbols.iter().find(|symbol| symbol.name.as_slice() == name.as_bytes());
        symbol.filter(|symbol| symbol.section == Some(text)).map(|symbol| (symbol.id(), symbol.st_value as usize))
    };
    let (symbol, start) = place(function).ok_or_else(|| defect(&"it has no such function"))?;
    let load = place("load").map(|(_, start)| start);
    if load.is_some_and(|load| load > start) {
        return Err(defect(&"another function follows it"));
    }

    // Relocations of debugging information and of type information are for other tools; libbpf does without.
    for section in builder.sections.iter_mut() {
        let name = section.name.as_slice();
        section.delete |= name.starts_with(b".debug")
            || name.starts_with(b".rel.debug")
            || (section.sh_type == SHT_REL && name == b".rel.BTF.ext");
    }
    // The compiler has all names in one section; the writer wants those of sections apart.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;

    let code = match &builder.sections.get(text).data {
        SectionData::Data(code) if code.as_slice().len() >= start => &code.as_slice()[..start],
        _ => return Err(defect(&"its code is not where it should be")),
    };
    let mut code = code.to_vec();
    for (index, &instruction) in program.instructions.iter().enumerate() {
        let mut instruction = instruction;
        if program.loads.contains(&index) {
            let load = load.ok_or_else(|| defect(&"it has no function `load`"))?;
            // The target of a call counts from the instruction behind it, in the upper half of the encoding.
            let distance = (load / INSTRUCTION) as i64 - (start / INSTRUCTION + index + 1) as i64;
            instruction = instruction & 0xffff_ffff | (distance as u64) << 32;
        }
        code.extend(instruction.to_ne_bytes());
    }
    let size = code.len() - start;
    builder.sections.get_mut(text).data = SectionData::Data(code.into());
    builder.symbols.get_mut(symbol).st_size = size as u64;

    let extra = section_named(&builder, ".BTF.ext").ok_or_else(|| defect(&"no section `.BTF.ext`"))?;
    let SectionData::Data(info) = &builder.sections.get(extra).data else {
        return Err(defect(&"`.BTF.ext` is no data"));
    };
    let info = without_lines(info.as_slice(), start as u32).ok_or_else(|| defect(&"`.BTF.ext` can't be read"))?;
    builder.sections.get_mut(extra).data = SectionData::Data(info.into());

    builder.delete_orphans();
    let mut grafted = Vec::new();
    builder.write(&mut grafted).map_err(|error| defect(&error))?;
    Ok(grafted)
}

fn section_named(builder: &Builder<'_>, name: &str) -> Option<SectionId> {
    builder.sections.iter().find(|section| section.name.as_slice() == name.as_bytes()).map(|section| section.id())
}

/// Takes the source lines of instructions behind `start` out of `.BTF.ext`: they are gone. The kernel wants one for the first
/// instruction of each function. Layout: `Documentation/bpf/btf.rst` of the kernel.
fn without_lines(info: &[u8], start: u32) -> Option<Vec<u8>> {
    /// Where the header has the place and the size of the lines, and those of the relocations, which follow.
    const LINES: usize = 16;
    const RELOCATIONS: usize = 24;
    let read = |info: &[u8], at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    let header = read(info, 4)? as usize;
    let lines = header + read(info, LINES)? as usize;
    let end = lines + read(info, LINES + 4)? as usize;
    let record_size = read(info, lines).filter(|size| *size > 0)? as usize;

    let mut kept = info.get(lines..lines + 4)?.to_vec();
    let mut at = lines + 4;
    while at < end {
        let count = read(info, at + 4)? as usize;
        let records = info.get(at + 8..at + 8 + count * record_size)?;
        let records = records.chunks(record_size).filter(|record| read(record, 0).is_some_and(|place| place <= start));
        let name = info.get(at..at + 4)?;
        at += 8 + count * record_size;
        kept.extend(name);
        kept.extend((records.clone().count() as u32).to_ne_bytes());
        kept.extend(records.flatten());
    }
    let removed = (end - lines - kept.len()) as u32;
    let mut result = [info.get(..lines)?, &*kept, info.get(end..)?].concat();
    let size = (kept.len() as u32).to_ne_bytes();
    result.get_mut(LINES + 4..LINES + 8)?.copy_from_slice(&size);
    if header > RELOCATIONS {
        let relocations = read(&result, RELOCATIONS)?.checked_sub(removed)?;
        result.get_mut(RELOCATIONS..RELOCATIONS + 4)?.copy_from_slice(&relocations.to_ne_bytes());
    }
    Some(result)
}
