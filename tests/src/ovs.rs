// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Open vSwitch, in a namespace of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::Process;
use crate::topology::{Namespace, output, run};
use crate::until;

/// Which Open vSwitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OvsBuild {
    /// Debian's own, which has no USDT probes.
    Debian,
    /// The newest one, built with them.
    Usdt,
}

impl OvsBuild {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Debian, Self::Usdt];

    /// Where it is; its programs are in `bin`.
    ///
    /// # Errors
    /// Outside the test bed.
    pub fn folder(self) -> Result<PathBuf> {
        let variable = match self {
            Self::Debian => "TRACER_OVS_DEBIAN",
            Self::Usdt => "TRACER_OVS_USDT",
        };
        let folder =
            std::env::var_os(variable).with_context(|| format!("{variable} is not set: see tests/vm/README.md"))?;
        Ok(folder.into())
    }
}

/// An Open vSwitch that runs: its database and `ovs-vswitchd`, with files of their own. Stopped, with its datapath, when dropped.
#[derive(Debug)]
pub struct Ovs {
    programs: PathBuf,
    // Dropped in this order: a namespace lives as long as a program in it.
    switch: Process,
    database: Process,
    namespace: Namespace,
    files: TempDir,
}

/// A bridge `br0` with two ports, `red` and `blue`, that lead to namespaces: `veth0` there, with 10.0.0.1 and fd00::1 on the red side,
/// 10.0.0.2 and fd00::2 on the blue one. Neighbours know each other from the start, and nobody looks for routers or duplicate addresses.
///
/// Gone when dropped. Takes about 6 seconds in an emulated machine.
#[derive(Debug)]
pub struct Bridged {
    /// The side with the addresses that end in 1.
    pub red: Namespace,
    /// The side with the addresses that end in 2.
    pub blue: Namespace,
    /// What is between them.
    pub ovs: Ovs,
}

impl Ovs {
    /// Starts it in a new namespace of this name.
    ///
    /// # Errors
    /// When a program of it fails.
    pub fn start(build: OvsBuild, name: &str) -> Result<Self> {
        let folder = build.folder()?;
        let (programs, schema) = (folder.join("bin"), folder.join("share/vswitch.ovsschema"));
        let files = tempfile::tempdir()?;
        let namespace = Namespace::new(name.to_owned())?;
        let start = |program: &str, arguments: &[&OsStr]| {
            namespace.enter(|| Process::start(command(&programs, &files, program).args(arguments)))
        };
        // The module takes longest, beside all that needs none.
        let (database, switch) = std::thread::scope(|scope| {
            let module = scope.spawn(|| run("modprobe", ["-a", "openvswitch", "veth"]));
            let stored = files.path().join("conf.db");
            output(command(&programs, &files, "ovsdb-tool").arg("create").args([&stored, &schema]))?;
            let socket = files.path().join("db.sock");
            let listen = prefixed("--remote=punix:", &socket);
            let database = start("ovsdb-server", &[stored.as_os_str(), &listen, &control(&files, "ovsdb-server")])?;
            until("ovsdb-server listens", || Ok(UnixStream::connect(&socket).is_ok()))?;
            output(command(&programs, &files, "ovs-vsctl").args(["--no-wait", "init"]))?;
            module.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let switch = start("ovs-vswitchd", &[&prefixed("unix:", &socket), &control(&files, "ovs-vswitchd")])?;
            Ok::<_, anyhow::Error>((database, switch))
        })?;
        Ok(Self { programs, switch, database, namespace, files })
    }

    /// The namespace that it is in, and its bridges.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The program `ovs-vswitchd`.
    pub fn switch(&self) -> &Process {
        &self.switch
    }

    /// The file of the program `ovs-vswitchd`.
    pub fn switch_path(&self) -> PathBuf {
        self.programs.join("ovs-vswitchd")
    }

    /// Runs `ovs-vsctl` with these words; returns what it printed, once the switch has done what it says.
    ///
    /// # Errors
    /// When it fails.
    pub fn vsctl(&self, words: &str) -> Result<String> {
        self.run("ovs-vsctl", words.split_whitespace())
    }

    /// Runs `ovs-ofctl` with these words. What holds spaces (flows with several conditions) is written without.
    ///
    /// # Errors
    /// As there.
    pub fn ofctl(&self, words: &str) -> Result<String> {
        self.run("ovs-ofctl", words.split_whitespace())
    }

    /// Asks `ovs-vswitchd` through `ovs-appctl`, with these words.
    ///
    /// # Errors
    /// As there.
    pub fn appctl(&self, words: &str) -> Result<String> {
        let target = self.files.path().join("ovs-vswitchd.ctl");
        let arguments =
            ["--target".as_ref(), target.as_os_str()].into_iter().chain(words.split_whitespace().map(OsStr::new));
        self.run("ovs-appctl", arguments)
    }

    /// Runs a program of Open vSwitch with these arguments.
    ///
    /// # Errors
    /// As there.
    pub fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A> + Send) -> Result<String> {
        self.namespace.enter(|| output(command(&self.programs, &self.files, program).args(arguments)))
    }

    /// Leaves no room for more than a few replies in the sockets in which `ovs-vswitchd` sends packets back: those of generic netlink
    /// that nothing waits in. It must be stopped, with upcalls in all others.
    ///
    /// # Errors
    /// When there are none.
    pub fn narrow_replies(&self) -> Result<()> {
        let mut count = 0;
        for entry in fs::read_dir(format!("/proc/{}/fd", self.switch.id()))? {
            let entry = entry?;
            if !fs::read_link(entry.path())?.as_os_str().as_encoded_bytes().starts_with(b"socket:") {
                continue;
            }
            let number = entry.file_name().to_string_lossy().parse()?;
            let socket = self.switch.descriptor(number)?;
            let is_netlink = option(&socket, libc::SO_DOMAIN)? == [libc::AF_NETLINK]
                && option(&socket, libc::SO_PROTOCOL)? == [libc::NETLINK_GENERIC];
            if is_netlink && option::<9>(&socket, libc::SO_MEMINFO)?[0] == 0 {
                let room = 1_i32;
                // SAFETY: the value is an integer that lives long enough.
                let is_set = unsafe {
                    let (level, value) = (libc::SOL_SOCKET, (&raw const room).cast());
                    libc::setsockopt(socket.as_raw_fd(), level, libc::SO_RCVBUF, value, size_of_val(&room) as u32)
                } == 0;
                ensure!(is_set, "the size of a buffer can't be set: {}", std::io::Error::last_os_error());
                count += 1;
            }
        }
        ensure!(count > 0, "`ovs-vswitchd` has no such socket");
        Ok(())
    }

    /// Joins a namespace to a bridge that there is: `veth0` there, with link address 02:00:00:00:00:NUMBER, 10.0.0.NUMBER and
    /// fd00::NUMBER, and a port of this name.
    ///
    /// # Errors
    /// When `ip` or `ovs-vsctl` fails.
    pub fn join(&self, bridge: &str, port: &str, namespace: &Namespace, number: u8) -> Result<()> {
        self.plug(port, namespace, number)?;
        self.vsctl(&format!("add-port {bridge} {port}"))?;
        Ok(())
    }

    /// The same, without the port: the device that can be one is there.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn plug(&self, port: &str, namespace: &Namespace, number: u8) -> Result<()> {
        let own = self.namespace.name();
        namespace.quiet(true)?;
        namespace.configure(&format!(
            "link add veth0 address 02:00:00:00:00:{number:02x} type veth peer name {port} netns {own}\n\
             link set lo up\n\
             link set veth0 up\n\
             address add 10.0.0.{number}/24 dev veth0\n\
             address add fd00::{number:x}/64 dev veth0 nodad\n"
        ))?;
        self.namespace.configure(&format!("link set {port} up\n"))
    }
}

impl Bridged {
    /// Starts Open vSwitch. The names of the namespaces begin with `name`.
    ///
    /// # Errors
    /// When one of its parts fails.
    pub fn new(build: OvsBuild, name: &str) -> Result<Self> {
        let ovs = Ovs::start(build, &format!("{name}-ovs"))?;
        let red = Namespace::new(format!("{name}-red"))?;
        let blue = Namespace::new(format!("{name}-blue"))?;
        for (namespace, port, own, other) in [(&red, "red", 1, 2), (&blue, "blue", 2, 1)] {
            ovs.plug(port, namespace, own)?;
            namespace.configure(&format!(
                "neighbour add 10.0.0.{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n\
                 neighbour add fd00::{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n"
            ))?;
        }
        ovs.vsctl("add-br br0 -- add-port br0 red -- add-port br0 blue")?;
        Ok(Self { red, blue, ovs })
    }

    /// Takes IPv6 away: what hosts tell their neighbours by it would be upcalls that no test sends.
    ///
    /// # Errors
    /// When a setting can't be changed.
    pub fn without_ipv6(&self) -> Result<()> {
        [self.ovs.namespace(), &self.red, &self.blue].into_iter().try_for_each(|namespace| namespace.quiet(false))
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        // A stopped program is killed as well, but can't take its datapath along; nor does one that is killed.
        let _ = self.switch.signal(libc::SIGKILL);
        let _ = self.database.signal(libc::SIGKILL);
        let _ = self.run("ovs-dpctl", ["del-dp", "ovs-system"]);
    }
}

fn command(programs: &Path, files: &TempDir, program: &str) -> Command {
    let mut command = Command::new(programs.join(program));
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, files.path());
    }
    command
}

/// What the kernel says of a socket, in so many integers.
fn option<const COUNT: usize>(socket: &OwnedFd, name: i32) -> Result<[i32; COUNT]> {
    let mut value = [0; COUNT];
    let mut size = size_of_val(&value) as u32;
    // SAFETY: there is room for as much as is said.
    let is_told = unsafe {
        let room = value.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, room, &raw mut size)
    } == 0;
    ensure!(is_told, "option {name} of a socket can't be read: {}", std::io::Error::last_os_error());
    Ok(value)
}

fn control(files: &TempDir, program: &str) -> std::ffi::OsString {
    prefixed("--unixctl=", &files.path().join(format!("{program}.ctl")))
}

fn prefixed(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}
