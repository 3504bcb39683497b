// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::PathBuf;

use insta::assert_snapshot;
use proptest::prelude::*;
use tracer_core::error::{Error, ErrorKind};

use super::{Origin, Profile};
use crate::Conditions;

struct Kernel {
    release: &'static str,
    symbols: &'static [&'static str],
    tracepoints: &'static [(&'static str, &'static str)],
}

const DEBIAN: Kernel = Kernel {
    release: "6.12.107+deb13-amd64",
    symbols: &["ip_rcv", "foo.isra.0"],
    tracepoints: &[("net", "netif_rx"), ("alarmtimer", "alarmtimer_fired")],
};

impl Conditions for Kernel {
    fn kernel_release(&self) -> &str {
        self.release
    }

    fn has_symbol(&self, name: &str) -> bool {
        self.symbols.contains(&name)
    }

    fn has_tracepoint(&self, group: &str, name: &str) -> bool {
        self.tracepoints.contains(&(group, name))
    }
}

fn parse(text: &str) -> Result<Profile, Error> {
    Profile::parse(text, Origin::File(PathBuf::from("team/web.yaml")))
}

/// The options as they would stand on a command line.
fn set_on(kernel: &Kernel, text: &str) -> Result<String, Error> {
    let args = parse(text)?.collect_args(kernel)?;
    Ok(args.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

fn with_collect(collect: &str) -> String {
    format!("version: 1\nname: web\ncollect:\n{collect}")
}

fn with_args(args: &str) -> String {
    with_collect(&format!("- args:\n    {args}\n"))
}

fn with_when(when: &str) -> String {
    with_collect(&format!("- when: {{{when}}}\n  args: {{snaplen: 1}}\n"))
}

/// Wrong profiles, each with its error as the program shows it.
fn errors(texts: &[String]) -> String {
    let one = |text: &String| format!("{}\n=> {}\n", text.trim_end(), shown(&parse(text).unwrap_err()));
    texts.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, "\ncaused by: {error}").unwrap();
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        write!(text, "\nhint: {hint}").unwrap();
    }
    text
}

#[test]
fn has_what_the_file_says() {
    let profile =
        parse("version: 1.0\nname: web-2\nabout: |\n  Web servers,\n  both\ncollect: [{name: all, args: {}}]").unwrap();
    assert_eq!((profile.name(), profile.about()), ("web-2", "Web servers,\nboth"));
    assert_eq!(profile.origin(), &Origin::File("team/web.yaml".into()));
    assert_eq!(profile.collect_args(&DEBIAN).unwrap(), []);
}

#[test]
fn the_example_in_the_manual_works() {
    let manual = include_str!("../../../docs/profiles.md");
    let (_, example) = manual.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(parse(example).unwrap().name(), "web");
    assert!(set_on(&DEBIAN, example).unwrap().ends_with("--probe=kprobe:tcp_v4_rcv --snaplen=128"));
    let newer = Kernel { symbols: &["gro_receive_skb"], ..DEBIAN };
    assert!(set_on(&newer, example).unwrap().ends_with("--snaplen=128 --probe=kprobe:gro_receive_skb"));
}

#[test]
fn sets_options_in_the_order_of_the_file() {
    let text = with_args(
        "snaplen: 100\n    collectors: skb,dev\n    probe: [ip_rcv, tp:net:netif_rx/stack]\n    stack: true\n    utc: false\n    \
         ovs-track:\n    timeout: 1.5\n    filter-packet: 'tcp port 80'\n    ring-size: -1\n    format: '10'",
    );
    assert_snapshot!(set_on(&DEBIAN, &text).unwrap().replace(" --", "\n--"), @"
    --snaplen=100
    --collectors=skb,dev
    --probe=ip_rcv
    --probe=tp:net:netif_rx/stack
    --stack
    --ovs-track
    --timeout=1.5
    --filter-packet=tcp port 80
    --ring-size=-1
    --format=10
    ");
}

#[test]
fn merges_all_entries_whose_conditions_hold() {
    let text = with_collect(
        "- args: {probe: [a], snaplen: 1}\n- when: {symbol: gone}\n  args: {probe: [b]}\n- when: {symbol: ip_rcv}\n  args: {probe: [c], snaplen: 2}",
    );
    assert_eq!(set_on(&DEBIAN, &text).unwrap(), "--probe=a --snaplen=1 --probe=c --snaplen=2");
}

#[test]
fn asks_the_kernel() {
    for (when, holds) in [
        ("", true),
        ("kernel: '>= 6.10'", true),
        ("kernel: '>= 6.1, < 6.12'", false),
        ("kernel: =6.12", true),
        ("symbol: ip_rcv", true),
        ("symbol: foo.isra.0", true),
        ("symbol: netif_rx", false),
        ("tracepoint: net:netif_rx", true),
        ("tracepoint: net:netif_rx_ni_entry", false),
        ("tracepoint: skb:netif_rx", false),
        ("kernel: '>= 6.1', symbol: ip_rcv, tracepoint: net:netif_rx", true),
        ("kernel: '>= 6.1', symbol: ip_rcv, tracepoint: net:gone", false),
        ("kernel: '>= 6.1', symbol: gone, tracepoint: net:netif_rx", false),
        ("kernel: '< 6.1', symbol: ip_rcv, tracepoint: net:netif_rx", false),
        ("not: {symbol: gone}", true),
        ("not: {symbol: ip_rcv}", false),
        ("symbol: ip_rcv, not: {kernel: '>= 7'}", true),
        ("symbol: gone, not: {kernel: '>= 7'}", false),
        // `not` is about all of its conditions together.
        ("not: {symbol: ip_rcv, tracepoint: net:gone}", true),
        ("not: {not: {symbol: ip_rcv}}", true),
    ] {
        let text = format!("{}- args: {{snaplen: 2}}\n", with_when(when));
        let expected = if holds { "--snaplen=1 --snaplen=2" } else { "--snaplen=2" };
        assert_eq!(set_on(&DEBIAN, &text).unwrap(), expected, "{when}");
    }
}

#[test]
fn a_kernel_without_a_version_matters_only_when_it_is_asked_for() {
    let strange = Kernel { release: "custom\u{1b}[2J", symbols: &["ip_rcv"], tracepoints: &[] };
    assert_eq!(set_on(&strange, &with_when("symbol: ip_rcv")).unwrap(), "--snaplen=1");
    let error = set_on(&strange, &with_when("not: {kernel: '< 6.1'}")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KernelLacks);
    assert_snapshot!(shown(&error), @r"the kernel release `custom\u{1b}[2J` does not begin with a version");
}

#[test]
fn says_when_nothing_applies() {
    let error = set_on(&DEBIAN, &with_when("kernel: '< 6.1'")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KernelLacks);
    assert_snapshot!(shown(&error), @"the profile `web` has nothing for the kernel 6.12.107+deb13-amd64");
}

#[test]
fn names_file_line_and_key_of_what_it_does_not_know() {
    assert_eq!(parse("").unwrap_err().kind(), ErrorKind::BadProfile);
    let shown = errors(&[
        "version: 1\nname: web\ncolect:\n- args: {}\n".to_owned(),
        "version: 1\nname: web\ncollect:\n- args: {}\n  wen: {}\n".to_owned(),
        "version: 1\nname: web\ncollect:\n- args: {}\n- when:\n    symbol: a\n    kernal: '>= 6.1'\n  args: {}\n"
            .to_owned(),
        "version: 1\nname: web\n\"\\e[31m\": 1\ncollect: []\n".to_owned(),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn says_what_is_missing_or_wrong_in_the_file() {
    let shown = errors(&[
        "".to_owned(),
        "name: web\ncollect: []\n".to_owned(),
        "version: 2\nname: web\nsomething: new\n".to_owned(),
        "version: 1\nname: web\nname: web\ncollect: []\n".to_owned(),
        "version: 1\nname: ../web\ncollect: []\n".to_owned(),
        "version: 1\nname: web\n".to_owned(),
        "version: 1\nname: web\ncollect: []\n".to_owned(),
        "version: 1\nname: web\ncollect:\n".to_owned(),
        "version: 1\nname: web\nabout: \"\\e[2J\"\ncollect: []\n".to_owned(),
        "version: 1\nname: web\ncollect:\n- name: nothing set\n".to_owned(),
        "version: 1\n---\nname: web\n".to_owned(),
        "version: 1\nname: [web\ncollect: []\n".to_owned(),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn says_what_is_wrong_with_an_option() {
    let shown = errors(&[
        with_args("probe: [a]\n    --stack: true"),
        with_args("probe: [a]\n    p: [b]\n    probe: [c]"),
        with_args("probe: {a: b}"),
        with_args("probe:\n    - a\n    - true"),
        with_args("probe:\n    - a\n    - [b]"),
        with_args("timeout: .inf"),
        with_args("filter-packet: \"\\e[2J\""),
        with_args("cmd: reboot"),
        with_args("probe: !kprobe a"),
        with_collect("- args: [probe]\n"),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn says_what_is_wrong_with_a_condition() {
    let shown = errors(&[
        with_when("kernel: 6.10"),
        with_when("symbol: "),
        with_when("symbol: [a, b]"),
        with_when("tracepoint: netif_rx"),
        with_when("not: {}"),
        with_when("not: {kernel: new}"),
        with_collect("- when:\n  - type: symbol\n    name: a\n  args: {}\n"),
    ]);
    assert_snapshot!(shown);
}

/// Files that are small and would take minutes or gigabytes.
#[test]
fn refuses_yaml_bombs() {
    let refuses = |text: String, expected: &str| {
        let error = parse(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadProfile);
        assert!(error.to_string().contains(expected), "{error}");
    };
    refuses(format!("version: 1\nx: {}", "{a: ".repeat(200_000)), "more than 1000 brackets");
    refuses(with_collect(&format!("- when: {}", "{not: ".repeat(900))), "while parsing");
    let nested = format!("- when: {}{{symbol: a}}{}\n  args: {{}}\n", "{not: ".repeat(900), "}".repeat(900));
    refuses(with_collect(&nested), "recursion limit exceeded");

    let mut laughs =
        String::from("version: 1\nname: web\ncollect:\n- args:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "    a{level}: &a{level} [{aliases}]").unwrap();
    }
    refuses(laughs, "expected a text or a number");
    let long = "x".repeat(100_000);
    refuses(with_args(&format!("probe: [&a {long}, *a, *a]")), "the list is too long");
    refuses(with_args(&format!("a: &a [{long}, {long}]\n    b: *a")), "too many or too long values");
    refuses(with_args(&format!("probe: [{}]", "a, ".repeat(5000))), "the list is too long");
    refuses(with_collect(&format!("- args: &a {{}}\n{}", "- args: *a\n".repeat(100))), "more than 100 entries");
    refuses(with_when("not: &a {not: *a}"), "recursion limit exceeded");
}

proptest! {
    #[test]
    fn takes_any_text_without_panic(text in "(version: 1\n)?(name: a\n)?(collect:\n)?([-:{}\\[\\]&*!|>' \na-z0-9.]{0,60})") {
        let _ = parse(&text);
    }

    #[test]
    fn keeps_every_value(values in prop::collection::vec("[ -~]{0,20}", 1..10)) {
        let list: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        let args = parse(&with_args(&format!("probe: [{}]", list.join(", ")))).unwrap().collect_args(&DEBIAN).unwrap();
        prop_assert_eq!(args.into_iter().map(|arg| arg.value.unwrap()).collect::<Vec<_>>(), values);
    }
}
