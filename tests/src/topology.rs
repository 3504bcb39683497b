// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces and what joins them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::Process;

/// Two namespaces joined by a veth pair `veth0`, with 10.0.0.1 and fd00::1 on the red side, 10.0.0.2 and fd00::2 on the blue
/// one, and VLAN 100 on top (`vlan100`: 10.0.100.1 and 10.0.100.2). Neighbours know each other from the start, and nobody
/// looks for routers or duplicate addresses: but for the IPv6 multicast reports of its first seconds, nothing is sent
/// that a test does not send.
///
/// Gone when dropped. Takes about half a second in an emulated machine.
#[derive(Debug)]
pub struct Topology {
    /// The side with the addresses that end in 1.
    pub red: Namespace,
    /// The side with the addresses that end in 2.
    pub blue: Namespace,
}

/// Three namespaces in a row, each joined to the next by a veth pair. The outer ones have `veth0`, the one between them `left` and
/// `right`. Neighbours know each other from the start, and nobody looks for routers or duplicate addresses.
///
/// Gone when dropped.
#[derive(Debug)]
pub struct Line {
    /// 10.0.1.1 and fd00:1::1, link address 02:00:00:00:00:01.
    pub red: Namespace,
    /// When it is a router, 10.0.1.254 and fd00:1::fe on the left, 10.0.2.254 and fd00:2::fe on the right.
    pub middle: Namespace,
    /// 10.0.2.1 and fd00:2::1, link address 02:00:00:00:00:02.
    pub blue: Namespace,
}

/// A network namespace with a name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: Option<File>,
}

/// Numbers the namespaces of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

impl Topology {
    /// IPv4, IPv6 and a VLAN.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn new() -> Result<Self> {
        Self::build(true)
    }

    /// Without IPv6 and VLAN: not a packet that a test does not send.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn ipv4_only() -> Result<Self> {
        Self::build(false)
    }

    fn build(everything: bool) -> Result<Self> {
        run("modprobe", ["-a", "veth", "8021q"])?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let topology =
            Self { red: Namespace::new(format!("red{number}"))?, blue: Namespace::new(format!("blue{number}"))? };
        for namespace in [&topology.red, &topology.blue] {
            namespace.quiet(everything)?;
        }
        let (red, blue) = (topology.red.name(), topology.blue.name());
        ip(
            &["-batch", "-"],
            &format!(
                "link add veth0 netns {red} address 02:00:00:00:00:01 type veth peer name veth0 netns {blue} address 02:00:00:00:00:02\n"
            ),
        )?;
        for (namespace, own, other) in [(red, 1, 2), (blue, 2, 1)] {
            let mut batch = format!(
                "link set lo up\n\
                 link set veth0 up\n\
                 address add 10.0.0.{own}/24 dev veth0\n\
                 neighbour add 10.0.0.{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n"
            );
            if everything {
                batch += &format!(
                    "address add fd00::{own}/64 dev veth0 nodad\n\
                     neighbour add fd00::{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n\
                     link add link veth0 name vlan100 type vlan id 100\n\
                     link set vlan100 up\n\
                     address add 10.0.100.{own}/24 dev vlan100\n\
                     neighbour add 10.0.100.{other} lladdr 02:00:00:00:00:0{other} dev vlan100 nud permanent\n"
                );
            }
            ip(&["-n", namespace, "-batch", "-"], &batch)?;
        }
        Ok(topology)
    }
}

impl Line {
    /// A router between two hosts. The names of the namespaces begin with `name`.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn routed(name: &str) -> Result<Self> {
        let line = Self::joined(name)?;
        for setting in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
            line.middle.sysctl(setting, "1")?;
        }
        line.middle.configure(
            "address add 10.0.1.254/24 dev left\n\
             address add 10.0.2.254/24 dev right\n\
             address add fd00:1::fe/64 dev left nodad\n\
             address add fd00:2::fe/64 dev right nodad\n\
             neighbour add 10.0.1.1 lladdr 02:00:00:00:00:01 dev left nud permanent\n\
             neighbour add 10.0.2.1 lladdr 02:00:00:00:00:02 dev right nud permanent\n\
             neighbour add fd00:1::1 lladdr 02:00:00:00:00:01 dev left nud permanent\n\
             neighbour add fd00:2::1 lladdr 02:00:00:00:00:02 dev right nud permanent\n",
        )?;
        for (host, net, link) in [(&line.red, 1, 11), (&line.blue, 2, 12)] {
            host.configure(&format!(
                "address add 10.0.{net}.1/24 dev veth0\n\
                 address add fd00:{net}::1/64 dev veth0 nodad\n\
                 neighbour add 10.0.{net}.254 lladdr 02:00:00:00:00:{link} dev veth0 nud permanent\n\
                 neighbour add fd00:{net}::fe lladdr 02:00:00:00:00:{link} dev veth0 nud permanent\n\
                 route add default via 10.0.{net}.254\n\
                 route add default via fd00:{net}::fe\n",
            ))?;
        }
        Ok(line)
    }

    /// Without addresses: what stands between the hosts is made by the test.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn joined(name: &str) -> Result<Self> {
        run("modprobe", ["veth"])?;
        let namespace = |side| -> Result<Namespace> {
            let namespace = Namespace::new(format!("{name}-{side}"))?;
            namespace.quiet(true)?;
            Ok(namespace)
        };
        let line = Self { red: namespace("red")?, middle: namespace("middle")?, blue: namespace("blue")? };
        let middle = line.middle.name();
        for (host, number, side, link) in [(&line.red, 1, "left", 11), (&line.blue, 2, "right", 12)] {
            let host = host.name();
            ip(
                &["-batch", "-"],
                &format!(
                    "link add veth0 netns {host} address 02:00:00:00:00:0{number} type veth \
                     peer name {side} netns {middle} address 02:00:00:00:00:{link}\n"
                ),
            )?;
            ip(&["-n", host, "-batch", "-"], "link set lo up\nlink set veth0 up\n")?;
            ip(&["-n", middle, "-batch", "-"], &format!("link set {side} up\n"))?;
        }
        Ok(line)
    }
}

impl Namespace {
    /// A new namespace with nothing in it but `lo`.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn new(name: String) -> Result<Self> {
        run("ip", ["netns", "add", &name])?;
        let path = format!("/run/netns/{name}");
        let file = File::open(&path).with_context(|| format!("cannot open `{path}`"))?;
        Ok(Self { name, file: Some(file) })
    }

    /// Its name, as in `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its inode number, by which the kernel's events know it.
    ///
    /// # Errors
    /// When the namespace is gone.
    pub fn inum(&self) -> Result<u64> {
        Ok(self.file()?.metadata()?.ino())
    }

    fn file(&self) -> Result<&File> {
        self.file.as_ref().context("the namespace is gone")
    }

    /// Runs `action` in a thread in this namespace. Sockets that it makes, and programs that it starts, stay there.
    ///
    /// # Errors
    /// When the namespace can't be entered, or what `action` returns.
    ///
    /// # Panics
    /// When `action` does.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = self.file()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the call takes no pointers; it moves this thread only, which ends here.
                let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } == 0;
                ensure!(entered, "cannot enter `{}`: {}", self.name, std::io::Error::last_os_error());
                action()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program in this namespace; returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn run<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a str> + Send) -> Result<String> {
        self.enter(|| run(program, arguments))
    }

    /// Does what `ip` is told in lines, one command each.
    ///
    /// # Errors
    /// When one fails.
    pub fn configure(&self, lines: &str) -> Result<()> {
        ip(&["-n", &self.name, "-batch", "-"], lines)
    }

    /// Does what `tc` is told in lines, one command each.
    ///
    /// # Errors
    /// As there.
    pub fn shape(&self, lines: &str) -> Result<()> {
        feed("tc", &["-n", &self.name, "-batch", "-"], lines)
    }

    /// Adds tables, chains and rules in the words of `nft`.
    ///
    /// # Errors
    /// As there.
    pub fn filter(&self, rules: &str) -> Result<()> {
        self.enter(|| feed("nft", &["-f", "-"], rules))
    }

    /// Sends `count` echo requests as fast as they are answered (one at a time) and sees every reply.
    ///
    /// # Errors
    /// When a reply is missing.
    pub fn ping(&self, address: &str, count: u32) -> Result<()> {
        let count = count.to_string();
        let output = self.run("ping", ["-n", "-q", "-f", "-c", &count, address])?;
        ensure!(output.contains(" 0% packet loss"), "packets were lost: {output}");
        Ok(())
    }

    /// Sends echo requests as fast as they are answered, until the result is dropped.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn flood(&self, address: &str) -> Result<Process> {
        self.enter(|| Process::start(Command::new("ping").args(["-n", "-q", "-f", address])))
    }

    /// Writes a `/proc/sys/net` entry of this namespace.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.enter(|| {
            let path = format!("/proc/sys/net/{name}");
            fs::write(&path, value).with_context(|| format!("cannot write `{path}`"))
        })
    }

    /// Before there are devices: they are born with these.
    pub(crate) fn quiet(&self, ipv6: bool) -> Result<()> {
        if ipv6 {
            let settings =
                [("accept_ra", "0"), ("accept_dad", "0"), ("router_solicitations", "0"), ("addr_gen_mode", "1")];
            settings.iter().try_for_each(|(name, value)| self.sysctl(&format!("ipv6/conf/default/{name}"), value))
        } else {
            ["all", "default"].iter().try_for_each(|name| self.sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), "1"))
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.file = None;
        // There is nobody to tell when it fails; names are not used twice.
        let _ = run("ip", ["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str], input: &str) -> Result<()> {
    feed("ip", arguments, input)
}

/// Runs a program with this on its stdin.
fn feed(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`{program} {}`: {}for:\n{input}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs a program and returns what it printed.
///
/// # Errors
/// When it fails, with what it printed on stderr.
pub fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    output(Command::new(program).args(arguments))
}

/// Runs a program that is to end by itself, and returns what it printed.
///
/// # Errors
/// When it fails, with what it printed on stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", words(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}: {}: {stdout}{}", words(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

fn words(command: &Command) -> String {
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
