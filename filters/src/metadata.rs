// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The metadata filter (`-m`): conditions on what the kernel knows about a packet besides its bytes. The language is described in
//! `docs/filters.md`.
//!
//! A text is read by `parser`. For the kernel `resolve` finds its members in BTF and `emit` makes eBPF of it; `event` finds them
//! in stored events.

mod emit;
mod event;
mod parser;
mod resolve;
mod scanner;
mod syntax;

use std::borrow::Cow;

use tracer_core::filter::Program;
use tracer_core::kernel::Kernel;

pub use self::event::EventMatcher;
use crate::error::{FilterError, Language};

/// A metadata filter for a kernel.
#[derive(Clone, Debug)]
pub struct MetadataFilter {
    program: Program,
    needs_packet: bool,
}

impl MetadataFilter {
    /// Translates `text` for `kernel`, whose types it is about.
    ///
    /// # Errors
    /// When the text is no metadata filter, names what the kernel doesn't have, or is too long.
    pub fn compile(text: &str, kernel: &Kernel) -> Result<Self, FilterError> {
        let condition = resolve::Resolver::new(text, kernel)?.condition(&parser::parse(text)?)?;
        let program = emit::emit(&condition).map_err(|error| {
            let message = format!("{} instructions are more than its jumps can cross", error.instructions);
            FilterError::new(Language::Metadata, text, message).with_hint("leave something out")
        })?;
        Ok(Self { program, needs_packet: condition.needs_packet() })
    }

    /// The program; [`tracer_core::filter`] says how it is called.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether it can only hold for a packet. It can't when all of it is about the packet.
    pub fn needs_packet(&self) -> bool {
        self.needs_packet
    }
}

impl FilterError {
    fn with_hint_if(self, hint: Option<impl Into<Cow<'static, str>>>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }
}
