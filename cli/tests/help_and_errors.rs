// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user reads without any kernel being touched: help, errors of the command line, the schema.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Exit code, stdout and stderr in one text.
fn said(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tracer")).args(args).env("COLUMNS", "100").output().unwrap();
    let mut text = format!("exit {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        if !bytes.is_empty() {
            writeln!(text, "--- {name}\n{}", String::from_utf8(bytes).unwrap().trim_end()).unwrap();
        }
    }
    text
}

#[test]
fn help() {
    insta::assert_snapshot!("help", said(&["--help"]));
    insta::assert_snapshot!("help_collect", said(&["collect", "--help"]));
    insta::assert_snapshot!("help_print", said(&["print", "--help"]));
    insta::assert_snapshot!("help_sort", said(&["sort", "--help"]));
    insta::assert_snapshot!("help_stats", said(&["stats", "--help"]));
    insta::assert_snapshot!("help_inspect", said(&["inspect"]));
    insta::assert_snapshot!("help_inspect_probes", said(&["inspect", "probes", "--help"]));
    insta::assert_snapshot!("help_inspect_kernel", said(&["inspect", "kernel", "--help"]));
}

#[test]
fn wrong_values_are_usage_errors() {
    let all = [
        &["collect", "-p", "tp:netif_rx"][..],
        &["collect", "-p", "foo:net:netif_rx"],
        &["collect", "-p", "ip_rcv/stak"],
        &["collect", "-c", "sbk"],
        &["collect", "-c", "xyz"],
        &["collect", "--snaplen", "0"],
        &["collect", "--ring-size", "1.5G"],
        &["collect", "--ring-size", "4K"],
        &["collect", "--timeout", "5 days"],
        &["collect", "--stop-after", "0"],
        &["collect", "--max-events-per-second", "0"],
        &["collect", "--max-events-per-second", "1e6"],
        &["collect", "--skb-sections", "metal"],
        &["collect", "--filter-inner"],
        &["collect", "-f", "icmp", "--tunnel-port", "5000"],
        &["collect", "-f", "icmp", "--filter-inner", "--tunnel-port", "5000,70000"],
        &["collect", "-f", "icmp", "--filter-inner", "--tunnel-port", "5000:gre"],
        &["inspect", "probes", "tp:netif_rx"],
        &["inspect", "kernel", "--format", "xml"],
        &["collcet"],
    ];
    let mut text = String::new();
    for args in all {
        writeln!(text, "$ tracer {}\n{}", args.join(" "), said(args)).unwrap();
        assert!(said(args).starts_with("exit 2\n"), "{args:?}: {}", said(args));
    }
    insta::assert_snapshot!("wrong_values", text);
}

#[test]
fn wrong_profiles_have_their_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let unknown_option =
        profile("option.yaml", "version: 1\nname: x\nabout: x\ncollect:\n  - args:\n      snaplne: 100\n");
    let no_yaml = profile("broken.yaml", "version: [\n");
    let missing = folder.path().join("missing.yaml");
    let mut shown = String::new();
    for name in ["genric", "xyz", &unknown_option, &no_yaml, missing.to_str().unwrap()] {
        let text = said(&["--profile", name, "collect"]);
        assert!(text.starts_with("exit 6\n"), "{name}: {text}");
        writeln!(shown, "$ tracer --profile {name} collect\n{text}").unwrap();
    }
    insta::assert_snapshot!("wrong_profiles", shown.replace(folder.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn wrong_filters_show_where_also_those_of_probes_and_profiles() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |name: &str, args: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("version: 1\nname: x\ncollect:\n  - args:\n      {args}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let all = profile("all.yaml", "filter-packet: 'tcp prt 80'");
    let probe = profile("probe.yaml", "probe: 'ip_rcv/stack/filter=net 10.0.0.0/8 and tcp prt 80'");
    let mut shown = String::new();
    for args in [
        &["collect", "-f", "host 10.0.0.1 and ("][..],
        &["collect", "-f", "icmp", "-p", "ip_rcv/filter=tcp prt 80"],
        &["--profile", &all, "collect"],
        &["--profile", &probe, "collect", "-f", "icmp"],
        // The command line overrides the profile.
        &["--profile", &all, "collect", "-f", "udp prt 53"],
    ] {
        let text = said(args);
        assert!(text.starts_with("exit 5\n"), "{args:?}: {text}");
        writeln!(shown, "$ tracer {}\n{text}", args.join(" ")).unwrap();
    }
    insta::assert_snapshot!("wrong_filters", shown.replace(folder.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn an_unwritable_file_is_found_before_anything_else() {
    let mut shown = String::new();
    for file in ["/nonexistent/events.json", "/proc/version/events.json", "/"] {
        writeln!(shown, "$ tracer collect -o {file}\n{}", said(&["collect", "-o", file])).unwrap();
    }
    insta::assert_snapshot!("unwritable", shown);
}

/// The committed schema is what the types say. To refresh it:
/// `cargo run --release -- schema > docs/events.schema.json`
#[test]
fn the_committed_schema_is_up_to_date() {
    let committed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json")).unwrap();
    let said = said(&["schema"]);
    let now = said.strip_prefix("exit 0\n--- stdout\n").unwrap();
    assert_eq!(committed.trim_end(), now.trim_end(), "run `cargo run --release -- schema > docs/events.schema.json`");
}

#[test]
fn a_failure_leaves_an_older_file_as_it_was_and_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.json"), folder.path().join("new.json"));
    fs::write(&old, "precious\n").unwrap();
    for mistake in [["-c", "sbk"], ["-p", "a_function_that_no_kernel_has"]] {
        for path in [&old, &new] {
            let said = said(&["collect", mistake[0], mistake[1], "-o", path.to_str().unwrap()]);
            assert!(!said.starts_with("exit 0\n"), "{said}");
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "precious\n");
        assert!(!new.exists());
    }
}
