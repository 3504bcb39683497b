// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The global variables of the eBPF programs: constants until they are loaded, then memory that is shared with them.

use std::ffi::OsStr;
use std::ptr::NonNull;

use libbpf_rs::btf::types::{DataSec, Var};
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_rs::{AsRawLibbpf as _, MapCore as _, Object, OpenObject};

use crate::error::{Error, ErrorKind};

/// All of an object.
pub(super) struct Variables(Vec<Variable>);

/// A global variable of the object: in which section, and where in it.
struct Variable {
    name: String,
    section: &'static str,
    offset: usize,
    size: usize,
}

impl Variables {
    /// Finds them; libbpf-rs does so only for code that was generated with the object.
    ///
    /// # Errors
    /// When the object has no type information, or none that libbpf understands.
    pub(super) fn find(open: &OpenObject) -> Result<Self, Error> {
        let unreadable = |error: libbpf_rs::Error| {
            Error::new(ErrorKind::Failure, format!("the type information of the linked eBPF object: {error:#}"))
        };
        // SAFETY: the pointer is that of a live object, which `open` keeps alive longer than the borrow.
        let raw = unsafe { open.as_libbpf_object().as_ref() };
        let btf = Btf::from_bpf_object(raw)
            .map_err(unreadable)?
            .ok_or_else(|| Error::new(ErrorKind::Failure, "the linked eBPF object has no type information"))?;
        let mut found = Vec::new();
        for section in btf.type_by_kind::<DataSec<'_>>() {
            let Some(map) =
                [".rodata", ".bss", ".data"].into_iter().find(|name| section.name() == Some(OsStr::new(name)))
            else {
                continue;
            };
            for entry in section.iter() {
                let variable: Option<BtfType<'_>> = btf.type_by_id(entry.ty);
                let name = variable
                    .filter(|ty| Var::try_from(*ty).is_ok())
                    .and_then(|ty| ty.name()?.to_str().map(str::to_owned));
                if let Some(name) = name {
                    found.push(Variable { name, section: map, offset: entry.offset as usize, size: entry.size });
                }
            }
        }
        Ok(Self(found))
    }

    /// Gives constants their values, before the object is loaded.
    ///
    /// # Errors
    /// When there is none of a name and size.
    pub(super) fn set_constants(&self, open: &mut OpenObject, constants: &[(&str, Vec<u8>)]) -> Result<(), Error> {
        let mut map = open
            .maps_mut()
            .find(|map| map.name().to_string_lossy().ends_with(".rodata"))
            .ok_or_else(|| Error::new(ErrorKind::Failure, "the linked eBPF object has no constants"))?;
        let data =
            map.initial_value_mut().ok_or_else(|| Error::new(ErrorKind::Failure, "the constants have no value"))?;
        for (name, value) in constants {
            let place = self
                .0
                .iter()
                .find(|found| found.name == *name && found.section == ".rodata" && found.size == value.len())
                .and_then(|found| data.get_mut(found.offset..found.offset + found.size));
            match place {
                Some(place) => place.copy_from_slice(value),
                None => {
                    return Err(Error::new(
                        ErrorKind::Failure,
                        format!("the eBPF programs have no {}-byte constant `{name}`", value.len()),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The memory of a global variable that is not constant; the kernel sees what is written there at once.
    ///
    /// # Errors
    /// When there is none of this name and size.
    pub(super) fn memory(&self, object: &Object, name: &str, length: usize) -> Result<NonNull<u8>, Error> {
        let missing =
            || Error::new(ErrorKind::Failure, format!("the eBPF programs have no {length}-byte variable `{name}`"));
        let found = self
            .0
            .iter()
            .find(|found| found.name == name && found.size == length && found.section != ".rodata")
            .ok_or_else(missing)?;
        let map =
            object.maps().find(|map| map.name().to_string_lossy().ends_with(found.section)).ok_or_else(missing)?;
        let mut size = 0;
        // SAFETY: the map is alive; libbpf returns the memory that it shares with the kernel, and its size.
        let memory = unsafe { libbpf_sys::bpf_map__initial_value(map.as_libbpf_object().as_ptr(), &raw mut size) };
        let memory =
            NonNull::new(memory.cast::<u8>()).filter(|_| found.offset + length <= size as usize).ok_or_else(missing)?;
        // SAFETY: the offset was just checked to lie inside.
        Ok(unsafe { memory.add(found.offset) })
    }
}
