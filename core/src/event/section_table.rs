// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All the sections that this build of the program knows.

use std::collections::BTreeMap;

use super::core_sections::CORE_SECTIONS;
use super::section::SectionDescriptor;
use crate::collector::Collector;

/// The known sections, by name.
#[derive(Clone, Debug, Default)]
pub struct SectionTable {
    by_name: BTreeMap<&'static str, SectionDescriptor>,
}

impl SectionTable {
    /// A table of the core's sections and of those of all registered collectors.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn registered() -> Result<Self, DuplicateSection> {
        let collectors = inventory::iter::<Collector>();
        Self::with_sections(collectors.flat_map(|collector| collector.sections).copied())
    }

    /// A table of the core's sections and of `sections`.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn with_sections(sections: impl IntoIterator<Item = SectionDescriptor>) -> Result<Self, DuplicateSection> {
        let mut table = Self::default();
        for section in CORE_SECTIONS.iter().copied().chain(sections) {
            if table.by_name.insert(section.name, section).is_some() {
                return Err(DuplicateSection(section.name));
            }
        }
        Ok(table)
    }

    /// The section called `name`, if it is known.
    pub fn get(&self, name: &str) -> Option<&SectionDescriptor> {
        self.by_name.get(name)
    }

    /// All sections, by name.
    pub fn iter(&self) -> impl Iterator<Item = &SectionDescriptor> {
        self.by_name.values()
    }
}

/// Two sections have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("section `{0}` is defined twice")]
pub struct DuplicateSection(
    /// The name.
    pub &'static str,
);

#[cfg(test)]
mod tests {
    use super::{DuplicateSection, SectionTable};
    use crate::event::core_sections::{CORE_SECTIONS, KernelSection};
    use crate::event::section::SectionDescriptor;

    #[test]
    fn refuses_a_name_that_is_taken() {
        let section = SectionDescriptor::of::<KernelSection<'static>>();
        assert_eq!(SectionTable::with_sections([section]).unwrap_err(), DuplicateSection("kernel"));
    }

    #[test]
    fn knows_the_sections_of_the_core() {
        let table = SectionTable::with_sections([]).unwrap();
        assert_eq!(table.iter().count(), CORE_SECTIONS.len());
        assert!(table.get("common").is_some());
        assert!(table.get("skb-tracking").is_none());
    }
}
