// SPDX-License-Identifier: Apache-2.0 OR MIT

//! DNS (RFC 1035) over UDP and TCP, multicast DNS (RFC 6762) and LLMNR (RFC 4795).

use std::fmt;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message::QuestionSection;
use domain::base::name::ParsedName;
use domain::base::{Message, ParseRecordData, ParsedRecord, Rtype};
use domain::dep::octseq::Parser;
use domain::rdata::{A, Aaaa, Cname, Dname, Mx, Ns, Ptr, Soa, Srv, Txt};

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::Quoted;

/// More records than a reader of one line wants; a message can hold thousands.
const MAX_RECORDS: usize = 16;

/// The highest bit of a class says something else in multicast DNS: that a unicast answer is welcome, or that older
/// records of the name should be forgotten (RFC 6762, 18.12 and 18.13).
const MULTICAST_CLASS_FLAG: u16 = 0x8000;

/// Whether a service with this port speaks DNS.
pub(in crate::skb::packet_text) fn is_dns(port: u16) -> bool {
    matches!(port, 53 | 5353 | 5355)
}

/// Writes the message that a TCP segment begins with: its length is in front of it (RFC 1035, 4.2.2). A segment that
/// holds no whole message may as well be the middle of one: nothing can be said about it.
pub(in crate::skb::packet_text) fn write_dns_over_tcp(out: &mut dyn fmt::Write, stream: Payload<'_>) -> fmt::Result {
    let Some(len) = stream.u16(0).map(usize::from) else {
        return Ok(());
    };
    let message = stream.skip(2);
    if len < size_of::<domain::base::HeaderSection>() || len > message.len {
        return Ok(());
    }
    out.write_char(' ')?;
    write_dns(out, message.limit(len))
}

/// Writes a DNS message: number, flags, questions, counts and answers in tcpdump's order.
pub(in crate::skb::packet_text) fn write_dns(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Ok(dns) = Message::from_slice(message.bytes) else {
        return out.write_str("DNS [|domain]");
    };
    write!(out, "DNS {}", dns.header().id())?;
    write_opcode(out, dns.header().opcode())?;
    if dns.header().qr() { write_response(out, dns) } else { write_query(out, dns) }
}

fn write_query(out: &mut dyn fmt::Write, dns: &Message<[u8]>) -> fmt::Result {
    let (header, counts) = (dns.header(), dns.header_counts());
    for (set, sign) in [(header.rd(), '+'), (header.cd(), '%')] {
        if set {
            out.write_char(sign)?;
        }
    }
    // What a plain query has none of.
    for (count, usual, unit) in [
        (counts.qdcount(), 1, "q"),
        (counts.ancount(), 0, "a"),
        (counts.nscount(), 0, "n"),
        (counts.arcount(), 0, "au"),
    ] {
        if count != usual {
            write!(out, " [{count}{unit}]")?;
        }
    }
    write_questions(out, dns.question())
}

fn write_response(out: &mut dyn fmt::Write, dns: &Message<[u8]>) -> fmt::Result {
    let (header, counts) = (dns.header(), dns.header_counts());
    write_rcode(out, header.rcode())?;
    for (set, sign) in [(header.aa(), '*'), (!header.ra(), '-'), (header.tc(), '|'), (header.ad(), '$')] {
        if set {
            out.write_char(sign)?;
        }
    }
    if counts.qdcount() > 0 {
        out.write_str(" q:")?;
        write_questions(out, dns.question())?;
    }
    write!(out, " {}/{}/{}", counts.ancount(), counts.nscount(), counts.arcount())?;
    let Ok(answers) = dns.answer() else {
        // The questions have said so already.
        return Ok(());
    };
    let mut separator = " ";
    for record in answers.take(MAX_RECORDS) {
        out.write_str(separator)?;
        separator = ", ";
        let Ok(record) = record else {
            return out.write_str("[|domain]");
        };
        write_record(out, &record)?;
    }
    if usize::from(counts.ancount()) > MAX_RECORDS { out.write_str(", ...") } else { Ok(()) }
}

fn write_questions(out: &mut dyn fmt::Write, questions: QuestionSection<'_, [u8]>) -> fmt::Result {
    let mut separator = " ";
    for (index, question) in questions.enumerate() {
        out.write_str(separator)?;
        separator = ", ";
        if index == MAX_RECORDS {
            return out.write_str("...");
        }
        let Ok(question) = question else {
            return out.write_str("[|domain]");
        };
        write!(out, "{}", question.qtype())?;
        write_class(out, question.qclass(), "QU")?;
        write!(out, "? {}.", question.qname())?;
    }
    Ok(())
}

fn write_record(out: &mut dyn fmt::Write, record: &ParsedRecord<'_, [u8]>) -> fmt::Result {
    write!(out, "{}. {}", record.owner(), record.rtype())?;
    write_class(out, record.class(), "Cache flush")?;
    type Name<'a> = ParsedName<&'a [u8]>;
    match record.rtype() {
        Rtype::A => write_data::<A>(out, record),
        Rtype::AAAA => write_data::<Aaaa>(out, record),
        Rtype::CNAME => write_data::<Cname<Name<'_>>>(out, record),
        Rtype::DNAME => write_data::<Dname<Name<'_>>>(out, record),
        Rtype::NS => write_data::<Ns<Name<'_>>>(out, record),
        Rtype::PTR => write_data::<Ptr<Name<'_>>>(out, record),
        Rtype::MX => write_data::<Mx<Name<'_>>>(out, record),
        Rtype::SOA => write_data::<Soa<Name<'_>>>(out, record),
        Rtype::SRV => match record.to_record::<Srv<Name<'_>>>() {
            // As in tcpdump, and RFC 2782: the target with its port, then priority and weight.
            Ok(Some(service)) => {
                let service = service.data();
                write!(out, " {}.:{} {} {}", service.target(), service.port(), service.priority(), service.weight())
            }
            _ => out.write_str(" [|domain]"),
        },
        Rtype::TXT => match record.to_record::<Txt<&[u8]>>() {
            Ok(Some(texts)) => texts
                .data()
                .iter_charstrs()
                .take(MAX_RECORDS)
                .try_for_each(|text| write!(out, " {}", Quoted(text.as_slice()))),
            _ => out.write_str(" [|domain]"),
        },
        _ => Ok(()),
    }
}

/// Writes the data of a record whose presentation is short and holds nothing unescaped.
fn write_data<'a, Data: ParseRecordData<'a, [u8]> + fmt::Display>(
    out: &mut dyn fmt::Write,
    record: &ParsedRecord<'a, [u8]>,
) -> fmt::Result {
    match record.to_record::<Data>() {
        Ok(Some(record)) => write!(out, " {}", record.data()),
        _ => out.write_str(" [|domain]"),
    }
}

/// Writes a class other than that of the Internet, and the flag of multicast DNS by this name.
fn write_class(out: &mut dyn fmt::Write, class: Class, flag: &str) -> fmt::Result {
    let number = class.to_int();
    let class = Class::from_int(number & !MULTICAST_CLASS_FLAG);
    if class != Class::IN {
        write!(out, " {class}")?;
    }
    if number & MULTICAST_CLASS_FLAG != 0 { write!(out, " ({flag})") } else { Ok(()) }
}

fn write_opcode(out: &mut dyn fmt::Write, opcode: Opcode) -> fmt::Result {
    match opcode {
        Opcode::QUERY => Ok(()),
        Opcode::IQUERY => out.write_str(" inv_q"),
        Opcode::STATUS => out.write_str(" stat"),
        Opcode::NOTIFY => out.write_str(" notify"),
        Opcode::UPDATE => out.write_str(" update"),
        other => write!(out, " op{}", other.to_int()),
    }
}

fn write_rcode(out: &mut dyn fmt::Write, rcode: Rcode) -> fmt::Result {
    out.write_str(match rcode {
        Rcode::NOERROR => "",
        Rcode::FORMERR => " FormErr",
        Rcode::SERVFAIL => " ServFail",
        Rcode::NXDOMAIN => " NXDomain",
        Rcode::NOTIMP => " NotImp",
        Rcode::REFUSED => " Refused",
        Rcode::YXDOMAIN => " YXDomain",
        Rcode::YXRRSET => " YXRRSet",
        Rcode::NXRRSET => " NXRRSet",
        Rcode::NOTAUTH => " NotAuth",
        Rcode::NOTZONE => " NotZone",
        other => return write!(out, " Resp{}", other.to_int()),
    })
}

/// Writes names that follow each other (RFC 8106, 5.2), until the root name that pads them.
pub(in crate::skb::packet_text) fn write_names(out: &mut dyn fmt::Write, bytes: &[u8]) -> fmt::Result {
    let mut parser = Parser::from_ref(bytes);
    for _ in 0..MAX_RECORDS {
        if parser.remaining() == 0 || parser.peek_all().first() == Some(&0) {
            return Ok(());
        }
        match ParsedName::parse(&mut parser) {
            Ok(name) => write!(out, " {name}.")?,
            Err(_) => return out.write_str(" [bad name]"),
        }
    }
    out.write_str(" ...")
}
