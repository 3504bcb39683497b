// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How far a command has come, shown on stderr when it takes long and somebody is looking.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Commands that take less time show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the clock is looked at, in steps.
const STEPS: u32 = 1024;

const OF_BYTES: &str = "{msg} {bar:30} {bytes} of {total_bytes}, {eta} left";
const BYTES: &str = "{msg} {spinner} {bytes}";
const OF_EVENTS: &str = "{msg} {bar:30} {human_pos} of {human_len} events, {eta} left";

/// Shows how far one step of a command has come. Where stderr is no terminal, nothing is shown.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When it is to be shown; `None` when it is.
    hidden_until: Option<Instant>,
    steps: u32,
}

impl Progress {
    /// For something that reads `total` bytes, or who knows how many.
    pub(crate) fn bytes(what: &'static str, total: Option<u64>) -> Self {
        Self::new(what, total, if total.is_some() { OF_BYTES } else { BYTES })
    }

    /// For something that deals with `total` events.
    pub(crate) fn events(what: &'static str, total: u64) -> Self {
        Self::new(what, Some(total), OF_EVENTS)
    }

    /// Shows nothing.
    pub(crate) fn none() -> Self {
        Self { bar: ProgressBar::hidden(), hidden_until: None, steps: 0 }
    }

    fn new(what: &'static str, total: Option<u64>, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the templates above are right");
        let bar =
            ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style).with_message(what);
        Self { bar, hidden_until: Instant::now().checked_add(PATIENCE), steps: 0 }
    }

    /// Says how far it is.
    pub(crate) fn at(&mut self, position: u64) {
        self.steps += 1;
        if self.steps < STEPS {
            return;
        }
        self.steps = 0;
        self.bar.set_position(position);
        if self.hidden_until.is_some_and(|until| until <= Instant::now()) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.hidden_until = None;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
