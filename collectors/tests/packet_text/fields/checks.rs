// SPDX-License-Identifier: Apache-2.0 OR MIT

//! How each field looks in our text.

use super::Check;

/// A number, in tshark's decimal or hexadecimal form.
fn number(value: &str) -> u64 {
    match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => value.parse().unwrap_or_else(|_| panic!("`{value}` is no number")),
    }
}

/// Ends a number or a name.
const END: &str = r"(?:[^0-9A-Za-z.:]|[.:] |\.$|$)";

/// ` name value` for a decimal number.
fn named(name: &str, value: &str) -> Option<String> {
    Some(format!("[ {{(\\[]{name} {}{END}", number(value)))
}

/// ` name 0x...`.
fn named_hex(name: &str, value: &str) -> Option<String> {
    Some(format!("[ {{(\\[]{name} {:#x}{END}", number(value)))
}

/// ` name text`.
fn named_text(name: &str, value: &str) -> Option<String> {
    Some(format!("[ {{(\\[]{name} {}{END}", regex::escape(value)))
}

/// The value behind anything that ends a word.
fn word(value: &str) -> Option<String> {
    Some(format!("(?:^|[ {{(\\[\\],@]){}{END}", regex::escape(value)))
}

/// A name of the DNS, which ends in a dot with us; the root is only that.
fn domain(value: &str) -> Option<String> {
    Some(if value == "<Root>" { r" \.(?: |,|$)".into() } else { format!(" {}\\.", regex::escape(value)) })
}

/// Bytes that tshark separates with colons or not at all.
fn hex(name: &str, value: &str) -> Option<String> {
    let digits = value.replace(':', "").replace("0x", "");
    Some(format!(" {name}{}", &digits[..digits.len().min(64)]))
}

fn ecn(traffic_class: u64) -> &'static str {
    ["", r",ECT\(1\)", r",ECT\(0\)", ",CE"][traffic_class as usize & 3]
}

/// The protocol's name is ours; its number must be the packet's.
fn protocol(value: &str) -> Option<String> {
    Some(format!(r" proto (?:[^()]* \({value}\)|{value}\b)"))
}

fn tcp_flags(value: &str) -> Option<String> {
    let bits = number(value);
    let signs: String =
        "FSRP.UEWe".chars().enumerate().filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, sign)| sign).collect();
    Some(format!(r"flags \[{}\]", if signs.is_empty() { "none".into() } else { regex::escape(&signs) }))
}

fn record_type(value: &str) -> &'static str {
    ["?", "is_in", "is_ex", "to_in", "to_ex", "allow", "block"][number(value) as usize]
}

fn dns_type(value: &str) -> String {
    let name = match number(value) {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        41 => "OPT",
        65 => "HTTPS",
        other => return format!("TYPE{other}"),
    };
    name.into()
}

fn rcode(value: &str) -> Option<String> {
    Some(match number(value) {
        0 => return None,
        2 => " ServFail".into(),
        3 => " NXDomain".into(),
        4 => " NotImp".into(),
        5 => " Refused".into(),
        other => panic!("the corpus has the response code {other}"),
    })
}

fn sctp_chunk(value: &str) -> Option<String> {
    let name = match number(value) {
        0 => "DATA",
        1 => "INIT",
        2 => "INIT ACK",
        3 => "SACK",
        4 => "HB REQ",
        5 => "HB ACK",
        6 => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN ACK",
        9 => "OP ERR",
        10 => "COOKIE ECHO",
        11 => "COOKIE ACK",
        14 => "SHUTDOWN COMPLETE",
        192 => "FORWARD TSN",
        other => return Some(format!(r"\[chunk {other} ")),
    };
    Some(format!(r"\[{name}[ \]]"))
}

fn mptcp(value: &str) -> Option<String> {
    let name =
        ["capable", "join", "dss", "add-addr", "rem-addr", "prio", "fail", "fast-close", "rst"][number(value) as usize];
    Some(format!("mptcp {name}"))
}

/// A time of day in milliseconds, as `hh:mm:ss.mmm`.
fn time_of_day(name: &str, value: &str) -> Option<String> {
    let milliseconds = number(value);
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    Some(format!(" {name} {:02}:{:02}:{:02}\\.{milliseconds:03}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// ` name "text"`, with what is no plain text escaped.
fn quoted(name: &str, value: &str) -> Option<String> {
    Some(format!(" {name} \"{}\"", regex::escape(&value.as_bytes().escape_ascii().to_string())))
}

/// ` name 1.50s`.
fn seconds(name: &str, value: &str) -> Option<String> {
    Some(format!(" {name} {:.2}s ", value.parse::<f64>().unwrap()))
}

/// ` name [A,B]` for the bits that are set, or ` name [none]`.
fn set_names(name: &str, bits: u64, names: &[(u64, &str)]) -> Option<String> {
    let set: Vec<_> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    Some(format!(r" {name} \[{}\]", if set.is_empty() { "none".into() } else { set.join(",") }))
}

/// One side of a link.
fn lacp(whose: &str, v: &[&str]) -> Option<String> {
    let names =
        ["Activity", "Timeout", "Aggregation", "Synchronization", "Collecting", "Distributing", "Default", "Expired"];
    let names: Vec<_> = names.iter().enumerate().map(|(bit, name)| (1 << bit, *name)).collect();
    let state = set_names("state", number(v[3]), &names)?;
    Some(format!(" {whose} {} key {} port {}{state} ", v[0], v[1], v[2]))
}

/// The ethertype's name is ours; its number must be the packet's.
fn ether_type(value: &str) -> Option<String> {
    Some(format!(r" proto (?:[^()]* \({value}\)|{value} \(unknown\))"))
}

/// A check of one field by an expression.
macro_rules! check {
    ($field:literal, $form:expr) => {
        Check {
            fields: &[$field],
            form: |values| {
                let form: fn(&str) -> Option<String> = $form;
                form(values[0])
            },
            whole: false,
        }
    };
    (whole $field:literal, $form:expr) => {
        Check {
            fields: &[$field],
            form: |values| {
                let form: fn(&str) -> Option<String> = $form;
                form(values[0])
            },
            whole: true,
        }
    };
}

/// All fields that are compared.
pub(super) const CHECKS: &[Check] = &[
    check!("eth.src", word),
    check!("eth.dst", word),
    check!("vlan.id", |value| named("vlan", value)),
    check!("vlan.priority", |value| named("p", value)),
    check!("vlan.dei", |value| (value == "1").then(|| " DEI ".into())),
    check!("llc.dsap", |value| Some(format!(r" dsap (?:\S+ \({value}\)|{value}) "))),
    check!("llc.ssap", |value| Some(format!(r" ssap (?:\S+ \({value}\)|{value}) "))),
    check!("llc.control", |value| Some(format!(" ctrl 0x0*{:x} ", number(value)))),
    check!("llc.oui", |value| Some(format!(r" oui [A-Za-z ]*\(?{:#08x}\)? ", number(value)))),
    check!("llc.cisco_pid", |value| Some(format!(r" pid \S* ?\(?{value}\)? "))),
    check!("lldp.chassis.id.mac", |value| named_text("chassis-id", value)),
    check!("lldp.port.id", |value| quoted("port-id", value)),
    check!("lldp.time_to_live", |value| named("ttl", value)),
    check!("lldp.port.desc", |value| quoted("port-description", value)),
    check!("lldp.tlv.system.name", |value| quoted("system-name", value)),
    check!("stp.flags", |value| set_names(
        "flags",
        number(value),
        &[
            (0x01, "Topology change"),
            (0x02, "Proposal"),
            (0x10, "Learn"),
            (0x20, "Forward"),
            (0x40, "Agreement"),
            (0x80, "Topology change ACK")
        ]
    )),
    Check {
        fields: &["stp.root.prio", "stp.root.ext", "stp.root.hw", "stp.root.cost"],
        form: |v| {
            let id = number(v[0]) | number(v[1]);
            Some(format!(r" root-id {id:04x}\.{} root-pathcost {} ", v[2], v[3]))
        },
        whole: false,
    },
    Check {
        fields: &["stp.bridge.prio", "stp.bridge.ext", "stp.bridge.hw", "stp.port"],
        form: |v| {
            let id = number(v[0]) | number(v[1]);
            Some(format!(r" bridge-id {id:04x}\.{}\.{:04x} ", v[2], number(v[3])))
        },
        whole: false,
    },
    check!("stp.msg_age", |value| seconds("message-age", value)),
    check!("stp.max_age", |value| seconds("max-age", value)),
    check!("stp.hello", |value| seconds("hello-time", value)),
    check!("stp.forward", |value| seconds("forwarding-delay", value)),
    check!("mstp.config_name", |value| quoted("region", value)),
    check!("mstp.config_revision_level", |value| named("revision", value)),
    Check {
        fields: &["lacp.actor.sysid", "lacp.actor.key", "lacp.actor.port", "lacp.actor.state"],
        form: |v| lacp("actor", v),
        whole: false,
    },
    Check {
        fields: &["lacp.partner.sysid", "lacp.partner.key", "lacp.partner.port", "lacp.partner.state"],
        form: |v| lacp("partner", v),
        whole: false,
    },
    Check {
        fields: &["eapol.type", "eapol.version", "eapol.len"],
        form: |v| Some(format!(r" EAP[A-Za-z ]* \({}\) v{} .*length {}$", v[0], v[1], v[2])),
        whole: false,
    },
    Check { fields: &["eap.code", "eap.id"], form: |v| Some(format!(r" \({}\) id {} ", v[0], v[1])), whole: false },
    check!("eap.type", |value| Some(format!(r" type \S+ \({value}\) "))),
    check!("ptp.v2.messagetype", |value| {
        let name = match number(value) {
            0 => "sync",
            2 => "peer delay req",
            8 => "follow up",
            11 => "announce",
            other => panic!("PTP message {other}"),
        };
        Some(format!("PTPv2 {name} domain "))
    }),
    check!("ptp.v2.domainnumber", |value| named("domain", value)),
    check!("ptp.v2.clockidentity", |value| named_text("clock", value)),
    check!("ptp.v2.sourceportid", |value| named("port", value)),
    check!("ptp.v2.sequenceid", |value| named("seq", value)),
    check!("macsec.AN", |value| named("an", value)),
    check!("macsec.PN", |value| named("pn", value)),
    check!("macsec.TCI", |value| set_names(
        "flags",
        number(value),
        &[(0x02, "E"), (0x01, "C"), (0x10, "S"), (0x04, "B"), (0x08, "I")]
    )),
    check!("macsec.SL", |value| if value == "0" { None } else { named("sl", value) }),
    check!("macsec.SCI.system_identifier", |value| hex("sci ", value)),
    check!("ppp.protocol", |value| Some(format!(r"PPP (?:\S+ \()?{:#06x}", number(value)))),
    Check {
        fields: &["ppp.code", "ppp.identifier"],
        form: |v| Some(format!(r" \({:#04x}\) id {} ", number(v[0]), number(v[1]))),
        whole: false,
    },
    Check {
        fields: &["mpls.label", "mpls.exp", "mpls.bottom", "mpls.ttl"],
        form: |v| {
            let bottom = if v[2] == "1" { r" \[S\]" } else { "" };
            Some(format!(r"\(label {}(?: \([^)]*\))? tc {}{bottom} ttl {}\)", v[0], v[1], v[3]))
        },
        whole: false,
    },
    check!("vxlan.vni", |value| named("vni", value)),
    // tshark shows it without the flag, too.
    Check {
        fields: &["vxlan.gbp", "vxlan.flags"],
        form: |v| if number(v[1]) & 0x8000 == 0 { None } else { named("policy", v[0]) },
        whole: false,
    },
    check!("vxlan.next_proto", |value| Some(format!(r" next-protocol \S+ \({value}\)"))),
    check!("geneve.vni", |value| named("vni", value)),
    check!("geneve.proto_type", ether_type),
    Check {
        fields: &["geneve.option.class", "geneve.option.type"],
        form: |v| {
            let (class, kind) = (number(v[0]), number(v[1]));
            let critical = if kind & 0x80 != 0 { r"\(C\)" } else { "" };
            Some(format!(r"class [A-Za-z ]*\(?{class:#x}\)? type {kind:#x}{critical} len "))
        },
        whole: false,
    },
    check!("geneve.option.unknown.data", |value| hex("data 0x", value)),
    check!("gre.proto", ether_type),
    check!("gre.key", |value| named_hex("key", value)),
    check!("gre.key.call_id", |value| named("call", value)),
    check!("gre.sequence_number", |value| named("seq", value)),
    check!("gre.ack_number", |value| named("ack", value)),
    check!("erspan.spanid", |value| named("session", value)),
    check!("erspan.vlan", |value| named("vlan", value)),
    check!("erspan.cos", |value| named("cos", value)),
    check!("erspan.index", |value| named("index", value)),
    check!("erspan.timestamp", |value| named("timestamp", value)),
    check!("erspan.hw", |value| named("hwid", value)),
    check!("erspan.sgt", |value| named("sgt", value)),
    check!("erspan.direction", |value| named_text("dir", if number(value) == 1 { "egress" } else { "ingress" })),
    check!("wg.type", |value| {
        let kind = ["handshake initiation", "handshake response", "cookie reply", "(?:data|keepalive)"];
        Some(format!("WireGuard {} ", kind[number(value) as usize - 1]))
    }),
    check!("wg.sender", |value| named_text("sender", value)),
    check!("wg.receiver", |value| named_text("receiver", value)),
    check!("wg.counter", |value| named("counter", value)),
    Check {
        fields: &["esp.spi", "esp.sequence"],
        form: |v| Some(format!("[ (]spi {:#010x} seq {:#x}[ )]", number(v[0]), number(v[1]))),
        whole: true,
    },
    Check {
        fields: &["ah.spi", "ah.sequence"],
        form: |v| Some(format!("[ (]spi {:#010x} seq {:#x}[ )]", number(v[0]), number(v[1]))),
        whole: true,
    },
    // Zero stands for none, while one is asked for.
    check!("pppoe.session_id", |value: &str| match number(value) {
        0 => None,
        session => Some(format!(r"\[ses {session:#x}\]")),
    }),
    check!("pppoed.tags.service_name", |value: &str| Some(format!(r#"\[Service-Name "{value}"\]"#))),
    check!("pppoed.tags.ac_name", |value: &str| Some(format!(r#"\[AC-Name "{value}"\]"#))),
    check!("pppoed.tags.ac_cookie", |value| hex(r"\[AC-Cookie 0x", value)),
    check!("gtp.message", |value: &str| Some(format!(r" \({}\) teid ", number(value)))),
    check!("gtp.seq_number", |value| named("seq", value)),
    check!("gtp.ext_hdr.pdu_ses_con.qos_flow_id", |value| named("qfi", value)),
    check!("gtp.teid", |value: &str| Some(format!(" teid {:#010x}", number(value)))),
    check!("l2tp.tunnel", |value| named("tunnel", value)),
    check!("l2tp.session", |value| named("session", value)),
    check!("l2tp.sid", |value| named("session", value)),
    check!("l2tp.Ns", |value| named("ns", value)),
    check!("l2tp.Nr", |value| named("nr", value)),
    check!("arp.src.proto_ipv4", word),
    Check {
        fields: &["arp.dst.proto_ipv4", "arp.opcode"],
        form: |v| if v[1] == "1" { named_text("who-has", v[0]) } else { None },
        whole: false,
    },
    Check {
        fields: &["arp.src.proto_ipv4", "arp.src.hw_mac", "arp.opcode"],
        form: |v| (v[2] == "2").then(|| format!(" {} is-at {} ", regex::escape(v[0]), v[1])),
        whole: false,
    },
    Check {
        fields: &[
            "ip.src",
            "ip.dst",
            "ip.ttl",
            "ip.dsfield",
            "ip.id",
            "ip.frag_offset",
            "ip.flags.mf",
            "ip.flags.df",
            "ip.flags.rb",
            "ip.len",
        ],
        form: |v| {
            let set = |value: &str| value == "1" || value == "True";
            let flags: Vec<_> = [(v[6], r"\+"), (v[7], "DF"), (v[8], "rsvd")]
                .into_iter()
                .filter(|(value, _)| set(value))
                .map(|(_, name)| name)
                .collect();
            let flags = if flags.is_empty() { String::new() } else { format!(r" \[{}\]", flags.join(",")) };
            Some(format!(
                r"{}(?:\.\d+)? > {}(?:\.\d+)? ttl {} tos {:#x}{} id {} off {}{flags} len {} ",
                regex::escape(v[0]),
                regex::escape(v[1]),
                v[2],
                number(v[3]),
                ecn(number(v[3])),
                number(v[4]),
                8 * number(v[5]),
                v[9]
            ))
        },
        whole: false,
    },
    check!("ip.proto", protocol),
    check!("ip.rec_rt", word),
    check!("ip.opt.ra", |value: &str| if number(value) == 0 {
        Some(r"[,\[]RA[,\]]".into())
    } else {
        named("RA value", value)
    }),
    check!("ip.opt.time_stamp", |value: &str| Some(format!(" {}[@ }}]", number(value)))),
    check!("ip.opt.time_stamp_addr", word),
    Check {
        fields: &["ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.tclass", "ipv6.flow", "ipv6.plen"],
        form: |v| {
            Some(format!(
                r"{}(?:\.\d+)? > {}(?:\.\d+)? hlim {} tclass {:#x}{} flowlabel {:#x} len {} ",
                regex::escape(v[0]),
                regex::escape(v[1]),
                v[2],
                number(v[3]),
                ecn(number(v[3])),
                number(v[4]),
                v[5]
            ))
        },
        whole: false,
    },
    check!("ipv6.opt.router_alert", |value: &str| Some(format!(r"\(rtalert {:#06x}\)", number(value)))),
    check!("ipv6.opt.jumbo", |value: &str| Some(format!(r"\(jumbo {}\)", number(value)))),
    Check {
        fields: &["ipv6.routing.type", "ipv6.routing.segleft"],
        form: |v| Some(format!(r"srcrt \(type {} segleft {}[ )]", v[0], v[1])),
        whole: false,
    },
    check!("ipv6.routing.srh.addr", word),
    check!("ipv6.routing.srh.last_entry", |value| named("last", value)),
    check!("ipv6.routing.src.addr", word),
    check!("ipv6.routing.mipv6.home_address", word),
    Check {
        fields: &["ipv6.fraghdr.ident", "ipv6.fraghdr.offset", "ipv6.fraghdr.more"],
        form: |v| {
            let more = if v[2] == "1" { r"\+" } else { "[^+]" };
            Some(format!(r"frag \({:#x}:{}\|\d+\){more}", number(v[0]), 8 * number(v[1])))
        },
        whole: false,
    },
    Check {
        fields: &["tcp.srcport", "tcp.dstport"],
        form: |v| Some(format!(r"\.{} > \S+\.{} (?:ttl|hlim) ", v[0], v[1])),
        whole: false,
    },
    Check {
        fields: &["udp.srcport", "udp.dstport"],
        form: |v| Some(format!(r"\.{} > \S+\.{} (?:ttl|hlim) ", v[0], v[1])),
        whole: false,
    },
    check!("tcp.seq_raw", |value| named("seq", value).map(|form| form.replace(END, "[ :\\]]"))),
    check!(whole "tcp.flags", tcp_flags),
    Check {
        fields: &["tcp.ack_raw", "tcp.flags.ack"],
        form: |v| if v[1] == "1" { named("ack", v[0]) } else { None },
        whole: true,
    },
    check!(whole "tcp.window_size_value", |value| named("win", value)),
    check!(whole "tcp.len", |value| named("length", value)),
    Check {
        fields: &["tcp.urgent_pointer", "tcp.flags.urg"],
        form: |v| if v[1] == "1" { named("urg", v[0]) } else { None },
        whole: true,
    },
    check!(whole "tcp.options.mss_val", |value: &str| Some(format!(r"[\[,]mss {value}[\],]"))),
    check!(whole "tcp.options.wscale.shift", |value: &str| Some(format!(r"[\[,]wscale {value}[\],]"))),
    check!(whole "tcp.options.sack_perm", |_: &str| Some(r"[\[,]sackOK[\],]".into())),
    Check {
        fields: &["tcp.options.timestamp.tsval", "tcp.options.timestamp.tsecr"],
        form: |v| Some(format!(r"[\[,]TS val {} ecr {}[\],]", v[0], v[1])),
        whole: true,
    },
    Check {
        fields: &["tcp.options.sack_le", "tcp.options.sack_re"],
        form: |v| Some(format!(r"\{{{}:{}\}}", v[0], v[1])),
        whole: true,
    },
    check!(whole "tcp.options.md5.digest", |value| hex("?md5 ", value)),
    check!(whole "tcp.options.tfo.cookie", |value| hex("?(?:exp-)?tfo cookie ", value)),
    check!(whole "tcp.options.tfo.request", |_: &str| Some("tfo cookiereq".into())),
    check!(whole "tcp.options.ao.keyid", |value| named("keyid", value)),
    check!(whole "tcp.options.ao.rnextkeyid", |value| named("rnextkeyid", value)),
    check!(whole "tcp.options.ao.mac", |value| hex("mac 0x", value)),
    Check {
        fields: &["tcp.options.user_to_val", "tcp.options.user_to_granularity"],
        form: |v| Some(format!("uto {}{}", v[0], if v[1] == "1" { "min" } else { "s" })),
        whole: true,
    },
    check!(whole "tcp.options.mptcp.subtype", mptcp),
    check!(whole "tcp.options.mptcp.version", |value: &str| Some(format!(" v{value}[\\] ,]"))),
    check!(whole "tcp.options.mptcp.sendkey", |value: &str| Some(format!("[{{ ]{:#x}", number(value)))),
    check!(whole "tcp.options.mptcp.recvkey", |value: &str| Some(format!("[, ]{:#x}", number(value)))),
    check!(whole "tcp.options.mptcp.recvtok", |value| named_hex("token", value)),
    check!(whole "tcp.options.mptcp.sendrand", |value| named_hex("nonce", value)),
    check!(whole "tcp.options.mptcp.sendtrunchmac", |value| named_hex("hmac", value)),
    check!(whole "tcp.options.mptcp.addaddrtrunchmac", |value| named_hex("hmac", value)),
    check!(whole "tcp.options.mptcp.rawdataack", |value| named("ack", value)),
    check!(whole "tcp.options.mptcp.rawdataseqno", |value| named("seq", value)),
    check!(whole "tcp.options.mptcp.subflowseqno", |value| named("subseq", value)),
    check!(whole "tcp.options.mptcp.datalvllen", |value| named("len", value)),
    check!(whole "tcp.options.mptcp.addrid", |value: &str| Some(format!("(?: id |,){}{END}", number(value)))),
    check!(whole "tcp.options.mptcp.ipv4", word),
    check!(whole "tcp.options.mptcp.ipv6", word),
    check!(whole "tcp.options.mptcp.port", |value| named("port", value)),
    check!(whole "udp.length", |value: &str| Some(format!(r"(?: length {}| length \d+ > \d+\]){END}", number(value) - 8))),
    check!("icmp.type", |value| named("type", value)),
    check!("icmp.code", |value| named("code", value)),
    check!("icmp.ident", |value| named("id", value)),
    check!("icmp.seq", |value| named("seq", value)),
    check!("icmp.mtu", |value: &str| Some(format!(r"\(mtu {}\)", number(value)))),
    check!("icmp.pointer", |value| named("octet", value)),
    check!("icmp.redir_gw", |value| named_text("to", value)),
    check!("icmp.originate_timestamp", |value| time_of_day("org", value).map(|form| format!("(?:query|{form})"))),
    check!("icmp.router_address", word),
    check!("icmp.lifetime", |value: &str| Some(format!("lifetime {}s", number(value)))),
    check!("icmpv6.type", |value| named("type", value)),
    check!("icmpv6.code", |value| named("code", value)),
    check!("icmpv6.mtu", |value| named("mtu", value)),
    check!("icmpv6.pointer", |value| named("octet", value)),
    check!("icmpv6.echo.identifier", |value| named("id", value)),
    check!("icmpv6.echo.sequence_number", |value| named("seq", value)),
    check!("icmpv6.nd.ns.target_address", |value| named_text("who has", value)),
    check!("icmpv6.nd.na.target_address", |value| named_text("tgt is", value)),
    check!("icmpv6.nd.rd.target_address", |value| named_text("to", value)),
    check!("icmpv6.nd.ra.cur_hop_limit", |value| named("hop limit", value)),
    check!("icmpv6.nd.ra.router_lifetime", |value: &str| Some(format!("router lifetime {value}s"))),
    check!("icmpv6.nd.ra.reachable_time", |value: &str| Some(format!("reachable time {value}ms"))),
    check!("icmpv6.nd.ra.retrans_timer", |value: &str| Some(format!("retrans timer {value}ms"))),
    check!("icmpv6.nd.ra.flag.m", |value: &str| (value == "1").then(|| r"[\[,]managed[\],]".into())),
    check!("icmpv6.nd.ra.flag.o", |value: &str| (value == "1").then(|| r"[\[,]other stateful[\],]".into())),
    check!("icmpv6.nd.na.flag.r", |value: &str| (value == "1").then(|| r"[\[,]router[\],]".into())),
    check!("icmpv6.nd.na.flag.s", |value: &str| (value == "1").then(|| r"[\[,]solicited[\],]".into())),
    check!("icmpv6.nd.na.flag.o", |value: &str| (value == "1").then(|| r"[\[,]override[\],]".into())),
    check!("icmpv6.opt.linkaddr", |value: &str| Some(format!("link-address {value}"))),
    check!("icmpv6.opt.mtu", |value| named("mtu", value).map(|form| form.replacen("[ ", r"[ ,\[", 1))),
    Check {
        fields: &["icmpv6.opt.prefix", "icmpv6.opt.prefix.length"],
        form: |v| Some(format!("(?:prefix|route|pref64) {}/{}", regex::escape(v[0]), v[1])),
        whole: false,
    },
    check!("icmpv6.opt.prefix.valid_lifetime", |value: &str| Some(format!(" valid {}s", number(value)))),
    check!("icmpv6.opt.prefix.preferred_lifetime", |value: &str| Some(format!(" pref {}s", number(value)))),
    check!("icmpv6.opt.route_lifetime", |value: &str| Some(format!(" lifetime {}s", number(value)))),
    check!("icmpv6.opt.rdnss", word),
    check!("icmpv6.opt.rdnss.lifetime", |value: &str| Some(format!("rdnss lifetime {}s", number(value)))),
    check!("icmpv6.opt.dnssl", |value: &str| domain(value)),
    check!("icmpv6.mld.multicast_address", |value: &str| if value == "::" { None } else { named_text("gaddr", value) }),
    check!("icmpv6.mld.source_address", |value: &str| Some(format!(r"[{{ ]{}[ }}]", regex::escape(value)))),
    check!("icmpv6.mldr.nb_mcast_records", |value: &str| Some(format!(" {value} group record"))),
    Check {
        fields: &["icmpv6.mldr.mar.multicast_address", "icmpv6.mldr.mar.record_type"],
        form: |v| Some(format!(r"\[gaddr {} {} \{{", regex::escape(v[0]), record_type(v[1]))),
        whole: false,
    },
    check!("icmpv6.mldr.mar.source_address", |value: &str| Some(format!(r"[{{ ]{}[ }}]", regex::escape(value)))),
    check!("igmp.maddr", |value: &str| if value == "0.0.0.0" { None } else { word(value) }),
    check!("igmp.record_type", |value: &str| Some(format!(" {} \\{{", record_type(value)))),
    check!("igmp.saddr", |value: &str| Some(format!(r"[{{ ]{}[ }}]", regex::escape(value)))),
    check!("igmp.num_grp_recs", |value: &str| Some(format!(" {value} group record"))),
    check!("sctp.verification_tag", |value| named_hex("vtag", value)),
    check!("sctp.chunk_type", sctp_chunk),
    check!("sctp.data_tsn_raw", |value| named("tsn", value)),
    check!("sctp.data_sid", |value| named("sid", value)),
    check!("sctp.data_ssn", |value| named("sseq", value)),
    check!("sctp.data_payload_proto_id", |value| named("ppid", value)),
    check!("sctp.init_initiate_tag", |value| named_hex("init tag", value)),
    check!("sctp.init_credit", |value| named("rwnd", value)),
    check!("sctp.init_nr_out_streams", |value| named("os", value)),
    check!("sctp.init_nr_in_streams", |value| named("mis", value)),
    check!("sctp.init_initial_tsn", |value| named("init tsn", value)),
    check!("sctp.initack_initiate_tag", |value| named_hex("init tag", value)),
    check!("sctp.initack_credit", |value| named("rwnd", value)),
    check!("sctp.initack_initial_tsn", |value| named("init tsn", value)),
    check!("sctp.sack_cumulative_tsn_ack_raw", |value| named("cum ack", value)),
    check!("sctp.sack_a_rwnd", |value| named("a_rwnd", value)),
    Check {
        fields: &["sctp.sack_gap_block_start_tsn", "sctp.sack_gap_block_end_tsn"],
        form: |v| Some(format!(r"[{{,]{}-{}[,}}]", v[0], v[1])),
        whole: false,
    },
    check!("dccp.srcport", |value: &str| Some(format!(r"\.{value} > "))),
    check!("dccp.type", |value: &str| {
        let name = ["Request", "Response", "Data", "Ack", "DataAck", "CloseReq", "Close", "Reset", "Sync", "SyncAck"];
        Some(format!("DCCP-{} ", name[number(value) as usize]))
    }),
    check!("dccp.seq_raw", |value| named("seq", value)),
    check!("dccp.ack_raw", |value| named("ack", value)),
    check!("dccp.service_code", |value| named("service", value)),
    check!("vrrp.virt_rtr_id", |value| named("vrid", value)),
    check!("vrrp.prio", |value| named("prio", value)),
    check!("vrrp.ip_addr", |value: &str| Some(format!("(?: addrs |,){}{END}", regex::escape(value)))),
    check!("vrrp.ipv6_addr", |value: &str| Some(format!("(?: addrs |,){}{END}", regex::escape(value)))),
    check!("dns.id", |value: &str| Some(format!("DNS {}[ +%*$|-]", number(value)))),
    check!("dns.flags.rcode", rcode),
    Check {
        fields: &["dns.qry.type", "dns.qry.name"],
        form: |v| domain(v[1]).map(|name| format!(r" {}(?: CH)?(?: \(QU\))?\?{name}", dns_type(v[0]))),
        whole: false,
    },
    Check {
        fields: &["dns.flags.response", "dns.count.answers", "dns.count.auth_rr", "dns.count.add_rr"],
        form: |v| (v[0] == "1").then(|| format!(" {}/{}/{}", v[1], v[2], v[3])),
        whole: false,
    },
    check!("dns.a", |value: &str| Some(format!(" A(?: \\(Cache flush\\))? {}", regex::escape(value)))),
    check!("dns.aaaa", |value: &str| Some(format!(" AAAA {}", regex::escape(value)))),
    check!("dns.cname", |value: &str| domain(value).map(|name| format!(" CNAME{name}"))),
    check!("dns.ptr.domain_name", |value: &str| domain(value).map(|name| format!(" PTR{name}"))),
    check!("dns.srv.target", domain),
    Check {
        fields: &["dns.mx.preference", "dns.mx.mail_exchange"],
        form: |v| domain(v[1]).map(|name| format!(" MX {}{name}", v[0])),
        whole: false,
    },
    check!("dhcp.option.dhcp", |value: &str| {
        let names = ["", "Discover", "Offer", "Request", "Decline", "ACK", "NACK", "Release", "Inform"];
        Some(format!("DHCP {} ", names[number(value) as usize]))
    }),
    check!("dhcp.id", |value| named_hex("xid", value)),
    // Some clients repeat theirs in an option.
    Check { fields: &["dhcp.hw.mac_addr", "dhcp.id"], form: |v| named_text("client", v[0]), whole: false },
    check!("dhcp.ip.your", |value: &str| if value == "0.0.0.0" { None } else { named_text("yiaddr", value) }),
    check!("dhcp.ip.client", |value: &str| if value == "0.0.0.0" { None } else { named_text("ciaddr", value) }),
    check!("dhcp.ip.server", |value: &str| if value == "0.0.0.0" { None } else { named_text("siaddr", value) }),
    check!("dhcp.ip.relay", |value: &str| if value == "0.0.0.0" { None } else { named_text("giaddr", value) }),
    check!("dhcp.option.requested_ip_address", |value| named_text("requested", value)),
    check!("dhcp.option.dhcp_server_id", |value| named_text("server", value)),
    check!("dhcp.option.ip_address_lease_time", |value: &str| Some(format!(" lease {}s", number(value)))),
    check!("dhcp.option.hostname", |value: &str| Some(format!(" hostname \"{value}\""))),
    check!("dhcpv6.msgtype", |value: &str| {
        let names = [
            "",
            "solicit",
            "advertise",
            "request",
            "confirm",
            "renew",
            "rebind",
            "reply",
            "release",
            "decline",
            "reconf",
            "inf-req",
            "relay-fwd",
            "relay-reply",
        ];
        Some(format!(r"(?:DHCPv6 |\[){} ", names[number(value) as usize]))
    }),
    check!("dhcpv6.xid", |value| named_hex("xid", value)),
    check!("dhcpv6.duid.bytes", |value| hex("(?:client|server)-ID ", value)),
    check!("dhcpv6.iaid", |value: &str| Some(format!(
        " iaid {}{END}",
        number(&format!("0x{}", value.replace(':', "")))
    ))),
    check!("dhcpv6.iaaddr.ip", |value| named_text("addr", value)),
    check!("dhcpv6.linkaddr", |value| named_text("link", value)),
    check!("dhcpv6.peeraddr", |value| named_text("peer", value)),
];
