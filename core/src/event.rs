// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events: their sections, their JSON, their text, and the files that hold them.

pub mod clock;
pub mod clues;
pub mod core_sections;
mod external_sort;
mod family;
pub mod flow;
mod foreign;
mod input_window;
pub mod json;
mod known_places;
pub mod line;
pub mod print;
pub mod reader;
pub mod schema;
pub mod section;
pub mod section_table;
pub mod selection;
mod series;
pub mod sort;
pub mod sorted_events;
pub mod statistics;
pub mod talk;
mod tally;
pub mod text;
mod verdict;
pub mod verdict_section;
