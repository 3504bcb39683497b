// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the times of events are shown.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde::Deserialize;

use super::core_sections::ClockOffset;
use super::line::EventLine;

/// How the time of an event is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// As in the file: nanoseconds of CLOCK_MONOTONIC.
    #[default]
    Monotonic,
    /// Wall-clock time in UTC (RFC 3339, nanoseconds).
    Utc,
    /// Wall-clock time in the local time zone (RFC 3339, nanoseconds).
    Local,
    /// Seconds since the first event shown of the recording: since its start, when all of it is shown.
    Relative,
}

/// What is known about the clock of a recording: its first events say it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// Wall clock minus CLOCK_MONOTONIC, in nanoseconds.
    offset: Option<i128>,
    /// The time of its first event.
    start: Option<u64>,
}

#[derive(Deserialize)]
struct StartupClock {
    clock_monotonic_offset: ClockOffset,
}

const NANOSECONDS: i128 = 1_000_000_000;

impl Clock {
    /// Learns from an event. An unreadable startup section teaches nothing: its text says that it is unreadable.
    pub(super) fn learn(&mut self, event: &EventLine<'_>) {
        if let Ok(Some(startup)) = event.light::<StartupClock>("startup") {
            let ClockOffset { sec, nsec } = startup.clock_monotonic_offset;
            self.offset = Some(i128::from(sec) * NANOSECONDS + i128::from(nsec));
        }
        if event.begins_recording() {
            self.start = None;
        }
        self.start.get_or_insert(event.timestamp());
    }

    /// Appends `timestamp`.
    pub(super) fn write(&self, timestamp: u64, style: TimeStyle, out: &mut String) -> Result<(), ClockError> {
        let written = match style {
            TimeStyle::Monotonic => write!(out, "{timestamp}"),
            TimeStyle::Relative => {
                let nanoseconds = i128::from(timestamp) - i128::from(self.start.unwrap_or(timestamp));
                let sign = if nanoseconds < 0 { "-" } else { "" };
                let nanoseconds = nanoseconds.unsigned_abs();
                let second = NANOSECONDS.unsigned_abs();
                write!(out, "{sign}{}.{:09}", nanoseconds / second, nanoseconds % second)
            }
            TimeStyle::Utc | TimeStyle::Local => {
                let time = self.wall_clock(timestamp)?;
                if style == TimeStyle::Utc {
                    out.push_str(&time.to_rfc3339_opts(SecondsFormat::Nanos, true));
                } else {
                    let time = time.with_timezone(&Local);
                    out.push_str(&time.to_rfc3339_opts(SecondsFormat::Nanos, false));
                }
                Ok(())
            }
        };
        written.expect("writing to a string cannot fail");
        Ok(())
    }

    fn wall_clock(&self, timestamp: u64) -> Result<DateTime<Utc>, ClockError> {
        let time = i128::from(timestamp) + self.offset.ok_or(ClockError::Unknown)?;
        let nanoseconds = u32::try_from(time.rem_euclid(NANOSECONDS)).ok();
        i64::try_from(time.div_euclid(NANOSECONDS))
            .ok()
            .zip(nanoseconds)
            .and_then(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds))
            .ok_or(ClockError::OutOfRange)
    }
}

/// Why a wall-clock time cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// No startup event said how the monotonic clock relates to the wall clock.
    #[error("the wall-clock time is unknown: no startup event before the first other event")]
    Unknown,
    /// It is beyond the calendar.
    #[error("the wall-clock time is out of range")]
    OutOfRange,
}

/// A span of time as it is shown: `+999ns`, `+12.3us`, `+4.0ms`, `+7.1s`. Cut off, not rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta(pub(super) u64);

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000 => return write!(f, "+{}ns", self.0),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        write!(f, "+{}.{}{name}", self.0 / unit, self.0 % unit / (unit / 10))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, ClockError, Delta, TimeStyle};
    use crate::event::line::EventLine;

    fn shown(clock: &Clock, timestamp: u64, style: TimeStyle) -> Result<String, ClockError> {
        let mut out = String::new();
        clock.write(timestamp, style, &mut out)?;
        Ok(out)
    }

    #[test]
    fn shows_a_time_in_all_styles() {
        let mut clock = Clock::default();
        assert_eq!(shown(&clock, 5, TimeStyle::Utc), Err(ClockError::Unknown));
        let startup = concat!(
            r#"{"common":{"timestamp":34687666213},"startup":{"#,
            r#""clock_monotonic_offset":{"sec":1795161384,"nsec":681630671}}}"#
        );
        clock.learn(&EventLine::parse(startup).unwrap());
        let utc = shown(&clock, 34_896_333_633, TimeStyle::Utc);
        assert_eq!(utc.as_deref(), Ok("2026-11-20T07:56:59.577964304Z"));
        let relative = shown(&clock, 34_896_333_633, TimeStyle::Relative);
        assert_eq!(relative.as_deref(), Ok("0.208667420"));
        assert_eq!(shown(&clock, 34_687_666_000, TimeStyle::Relative).as_deref(), Ok("-0.000000213"));
        assert_eq!(shown(&clock, 7, TimeStyle::Monotonic).as_deref(), Ok("7"));
    }

    #[test]
    fn a_hostile_offset_is_an_error() {
        let startup = concat!(
            r#"{"common":{"timestamp":1},"startup":{"#,
            r#""clock_monotonic_offset":{"sec":9223372036854775807,"nsec":-5}}}"#
        );
        let mut clock = Clock::default();
        clock.learn(&EventLine::parse(startup).unwrap());
        assert_eq!(shown(&clock, u64::MAX, TimeStyle::Utc), Err(ClockError::OutOfRange));
    }

    #[test]
    fn spans_have_the_unit_that_fits() {
        let shown = |nanoseconds: u64| Delta(nanoseconds).to_string();
        assert_eq!(shown(0), "+0ns");
        assert_eq!(shown(999), "+999ns");
        assert_eq!(shown(12_399), "+12.3us");
        assert_eq!(shown(999_999), "+999.9us");
        assert_eq!(shown(4_000_000), "+4.0ms");
        assert_eq!(shown(u64::MAX), "+18446744073.7s");
    }
}
