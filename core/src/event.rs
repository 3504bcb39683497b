// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events: their sections, their JSON, their text, and the files that hold them.

pub mod core_sections;
pub mod json;
pub mod line;
pub mod reader;
pub mod section;
pub mod section_table;
pub mod text;
