// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing events: sections become one line of JSON, in a buffer that is used again for the next event.

use super::section::Section;

/// Builds event lines, one after the other, without allocating for each.
///
/// ```
/// use tracer_core::event::core_sections::CommonSection;
/// use tracer_core::event::json::EventJson;
///
/// let mut json = EventJson::new();
/// json.begin();
/// json.section(&CommonSection { timestamp: 7, smp_id: Some(1), task: None })?;
/// assert_eq!(json.finish(), b"{\"common\":{\"timestamp\":7,\"smp_id\":1}}\n");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct EventJson {
    line: Vec<u8>,
}

impl EventJson {
    /// A builder with an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an event; what was built before is gone.
    pub fn begin(&mut self) {
        self.line.clear();
        self.line.push(b'{');
    }

    /// Adds a section to the event.
    ///
    /// # Errors
    /// When the section cannot be serialised; the event is then as it was before.
    pub fn section<S: Section>(&mut self, section: &S) -> serde_json::Result<()> {
        let before = self.line.len();
        if before > 1 {
            self.line.push(b',');
        }
        self.line.push(b'"');
        self.line.extend_from_slice(S::NAME.as_bytes());
        self.line.extend_from_slice(b"\":");
        let written = serde_json::to_writer(&mut self.line, section);
        if written.is_err() {
            self.line.truncate(before);
        }
        written
    }

    /// Ends the event and returns it as a line, newline included.
    pub fn finish(&mut self) -> &[u8] {
        self.line.extend_from_slice(b"}\n");
        &self.line
    }
}

/// Puts the events of a sorted file into arrays, one a line for each series, without holding a series in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesJson {
    open: bool,
}

impl SeriesJson {
    /// Appends what stands in front of number `idx` of a series.
    pub fn separate(&mut self, idx: u64, out: &mut String) {
        if idx > 0 {
            out.push(',');
        } else {
            self.end(out);
            out.push('[');
            self.open = true;
        }
    }

    /// Appends what stands behind the last event.
    pub fn end(&mut self, out: &mut String) {
        if self.open {
            out.push_str("]\n");
        }
        self.open = false;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt;

    use schemars::JsonSchema;
    use serde::{Serialize, Serializer};

    use super::EventJson;
    use crate::event::core_sections::{CommonSection, KernelProbeType, KernelSection, Loss, LossSection, Task};
    use crate::event::section::{Place, Section};
    use crate::event::text::TextOptions;

    #[derive(JsonSchema)]
    struct Failing;

    impl Serialize for Failing {
        fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    impl Section for Failing {
        const NAME: &'static str = "failing";
        const PLACE: Place = Place::Line;

        fn write_text(&self, _out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
            Ok(())
        }
    }

    #[test]
    fn builds_the_lines_that_the_format_promises() {
        let mut json = EventJson::new();
        json.begin();
        let comm = Cow::Borrowed("pi\"ng");
        let task = Some(Task { pid: 5, tgid: 6, comm });
        json.section(&CommonSection { timestamp: u64::MAX, smp_id: Some(1), task }).unwrap();
        let frames = [Cow::Borrowed("a+0x1")];
        json.section(&KernelSection {
            symbol: Cow::Borrowed("net:netif_rx"),
            probe_type: KernelProbeType::RawTracepoint,
            stack_trace: Some(Cow::Borrowed(&frames)),
        })
        .unwrap();
        assert_eq!(
            std::str::from_utf8(json.finish()).unwrap(),
            concat!(
                r#"{"common":{"timestamp":18446744073709551615,"smp_id":1,"task":{"pid":5,"tgid":6,"comm":"pi\"ng"}},"#,
                r#""kernel":{"symbol":"net:netif_rx","probe_type":"raw_tracepoint","stack_trace":["a+0x1"]}}"#,
                "\n"
            )
        );

        json.begin();
        let losses = [Loss { cause: Cow::Borrowed("ring_full"), probe: None, count: 3 }];
        json.section(&LossSection(Cow::Borrowed(&losses))).unwrap();
        assert_eq!(json.finish(), b"{\"loss\":[{\"cause\":\"ring_full\",\"count\":3}]}\n");
    }

    #[test]
    fn a_section_that_fails_leaves_no_trace() {
        let mut json = EventJson::new();
        json.begin();
        assert!(json.section(&Failing).is_err());
        json.section(&CommonSection { timestamp: 1, smp_id: None, task: None }).unwrap();
        assert!(json.section(&Failing).is_err());
        assert_eq!(json.finish(), b"{\"common\":{\"timestamp\":1}}\n");
    }
}
