// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of a packet, as an event has them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::Error as _;
use tracer_core::event::line::{EventError, EventLine};

const PACKET: &str = "packet";

/// What is needed of section `packet`.
#[derive(Deserialize)]
struct Packet<'a> {
    len: u32,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// Room for the bytes of the packet at hand.
#[derive(Debug, Default)]
pub(crate) struct PacketBytes {
    data: Vec<u8>,
}

impl PacketBytes {
    /// Reads the bytes of the event's packet, and returns the packet's length; `None` when the event has none.
    ///
    /// # Errors
    /// When they can't be read.
    pub(crate) fn read(&mut self, event: &EventLine<'_>) -> Result<Option<u32>, EventError> {
        self.data.clear();
        let Some(packet) = event.light::<Packet<'_>>(PACKET)? else {
            return Ok(None);
        };
        STANDARD
            .decode_vec(&*packet.data, &mut self.data)
            .map_err(|error| EventError::Section { name: PACKET, error: serde_json::Error::custom(error).into() })?;
        Ok(Some(packet.len))
    }

    /// The bytes that were read last, from the Ethernet header on.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }
}
