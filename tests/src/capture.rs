// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets as tcpdump sees them, and a socket that puts frames on a device.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use pcap::{Capture, Linktype};

use crate::process::Process;
use crate::topology::Namespace;
use crate::until;

/// A packet: its length, and the bytes that were recorded of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Bytes on the wire.
    pub length: usize,
    /// From the Ethernet header on.
    pub data: Vec<u8>,
}

impl Frame {
    /// The packets of a file; none when they do not begin with an Ethernet header.
    ///
    /// # Errors
    /// When it is no file of packets.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let mut capture = Capture::from_file(path).with_context(|| path.display().to_string())?;
        let mut frames = Vec::new();
        while capture.get_datalink() == Linktype::ETHERNET {
            match capture.next_packet() {
                Ok(packet) => frames.push(Self { length: packet.header.len as usize, data: packet.data.to_vec() }),
                Err(pcap::Error::NoMorePackets) => break,
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        Ok(frames)
    }
}

/// A tcpdump that writes to a file.
#[derive(Debug)]
pub struct Tcpdump {
    process: Process,
    file: PathBuf,
}

impl Tcpdump {
    /// Starts one at a device and waits until it captures.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(namespace: &Namespace, device: &str, filter: &str, file: PathBuf) -> Result<Self> {
        let mut command = Command::new("tcpdump");
        command.args(["-n", "-Z", "root", "--immediate-mode", "-U", "-s", "1024", "-B", "8192", "-i", device, "-w"]);
        let process = namespace.enter(|| Process::start(command.arg(&file).arg(filter)))?;
        process.stderr_line("`listening on`", |line| line.contains("listening on"))?;
        Ok(Self { process, file })
    }

    /// Waits until it has written all that was captured, and returns that.
    ///
    /// # Errors
    /// When packets were lost.
    pub fn stop(self) -> Result<Vec<Frame>> {
        let stat = format!("/proc/{}/stat", self.process.id());
        // It sleeps only when there is nothing to be read.
        until("tcpdump has read all packets", || Ok(fs::read_to_string(&stat)?.contains(") S ")))?;
        self.process.signal(libc::SIGINT)?;
        let ended = self.process.wait()?;
        ensure!(ended.code() == 0, "tcpdump: {}", ended.stderr);
        ensure!(ended.stderr.contains("\n0 packets dropped by kernel"), "tcpdump: {}", ended.stderr);
        Frame::read(&self.file)
    }
}

/// A packet socket on a device: sends frames, and gets all that come and go there.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens one on a device of a namespace.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace.enter(|| {
            let all = (libc::ETH_P_ALL as u16).to_be();
            // SAFETY: the call takes no pointers.
            let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
            ensure!(socket >= 0, "no packet socket: {}", io::Error::last_os_error());
            // SAFETY: it was just opened for us.
            let socket = unsafe { OwnedFd::from_raw_fd(socket) };
            let name = std::ffi::CString::new(device)?;
            // SAFETY: an address of zeroes is valid, if meaningless; the name is a C string.
            let (mut address, index) =
                unsafe { (std::mem::zeroed::<libc::sockaddr_ll>(), libc::if_nametoindex(name.as_ptr())) };
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = all;
            address.sll_ifindex = index as i32;
            let size = size_of_val(&address) as u32;
            // SAFETY: the address is as long as said.
            let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) } == 0;
            ensure!(bound, "the socket can't be bound to `{device}`: {}", io::Error::last_os_error());
            Ok(Self(socket))
        })
    }

    /// The frames that are sent from now on have this mark, which stays with them as long as they don't leave the namespace.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn mark(&self, mark: u32) -> Result<()> {
        let size = size_of_val(&mark) as u32;
        // SAFETY: the value is as long as said.
        let set = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, (&raw const mark).cast(), size)
        } == 0;
        ensure!(set, "the mark can't be set: {}", io::Error::last_os_error());
        Ok(())
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the bytes are as many as said.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        ensure!(sent == frame.len() as isize, "{} bytes can't be sent: {}", frame.len(), io::Error::last_os_error());
        Ok(())
    }

    /// Waits for the next packet and takes it off.
    ///
    /// # Errors
    /// When none comes.
    pub fn receive(&self) -> Result<()> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one entry, as said, and writable.
        let ready = unsafe { libc::poll(&raw mut poll, 1, crate::PATIENCE.as_millis() as i32) } == 1;
        ensure!(ready && self.take()?, "no packet comes");
        Ok(())
    }

    /// Takes off all packets that are there.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn drain(&self) -> Result<()> {
        while self.take()? {}
        Ok(())
    }

    fn take(&self) -> Result<bool> {
        let mut byte = [0_u8; 1];
        // SAFETY: the buffer is as long as said; the rest of the packet is thrown away.
        let received =
            unsafe { libc::recv(self.0.as_raw_fd(), byte.as_mut_ptr().cast(), byte.len(), libc::MSG_DONTWAIT) };
        let error = io::Error::last_os_error();
        ensure!(received >= 0 || error.kind() == io::ErrorKind::WouldBlock, "the packet socket: {error}");
        Ok(received >= 0)
    }
}
