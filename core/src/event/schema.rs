// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The JSON schema of an event, made from the types of the sections.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Map;

use super::core_sections::CommonSection;
use super::section::Section;
use super::section_table::SectionTable;

/// The schema (JSON Schema draft 2020-12) of one event with any of `sections`.
///
/// It allows unknown sections and keys, as readers of the format must.
pub fn event_schema(sections: &SectionTable) -> Schema {
    let mut generator = SchemaGenerator::default();
    let properties: Map<_, _> =
        sections.iter().map(|section| (section.name.to_owned(), (section.schema)(&mut generator).to_value())).collect();
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One event. A file has one a line; a sorted file has an array of them, all of one packet, a line.",
        "type": "object",
        "properties": properties,
        "required": [CommonSection::NAME],
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests {
    use super::event_schema;
    use crate::event::core_sections::CORE_SECTIONS;
    use crate::event::section_table::SectionTable;

    #[test]
    fn describes_every_section_and_its_fields() {
        let table = SectionTable::with_sections([]).unwrap();
        let schema = event_schema(&table).to_value();
        assert_eq!(schema["properties"].as_object().unwrap().len(), CORE_SECTIONS.len());
        let reference = schema["properties"]["common"]["$ref"].as_str().unwrap();
        let common = schema.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        assert_eq!(common["properties"]["timestamp"]["format"], "uint64");
        assert_eq!(common["required"], serde_json::json!(["timestamp"]));
        assert!(common["properties"]["timestamp"]["description"].as_str().unwrap().contains("nanoseconds"));
    }
}
